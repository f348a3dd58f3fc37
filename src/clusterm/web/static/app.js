// Local times in tooltips: the pages show UTC.
for (const time of document.querySelectorAll("time")) time.title = new Date(time.dateTime).toLocaleString()
