// Local times in tooltips, since the pages show UTC; and keys.
const root = document.documentElement.dataset.root
const PLACES = { o: "/ui/", n: "/ui/nodes", j: "/ui/jobs", t: "/ui/timeline", s: "/ui/settings" }

function addLocalTimes(part) {
  for (const time of part.querySelectorAll("time")) time.title = new Date(time.dateTime).toLocaleString()
}

// Move the focus to the first link of the next or previous row of a table.
function move(way) {
  const links = [...document.querySelectorAll("tbody tr")].map((row) => row.querySelector("a")).filter(Boolean)
  const row = document.activeElement.closest?.("tbody tr")
  const here = row ? links.findIndex((link) => row.contains(link)) : -1
  const to = here < 0 ? (way > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, here + way))
  links[to]?.focus()
}

const KEYS = {
  "/": () => document.querySelector("input[type=search]")?.focus(),
  j: () => move(1),
  k: () => move(-1),
  "?": () => document.getElementById("keys")?.showModal(),
}
let isGoing = false

addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return
  const place = isGoing && PLACES[event.key]
  isGoing = event.key === "g" && !place
  if (place && document.querySelector("header.top")) {
    event.stopImmediatePropagation() // a key of the page itself, as in log.js
    location.href = root + place
  } else if (event.key in KEYS) {
    event.preventDefault()
    KEYS[event.key]()
  }
})
addEventListener("shown", (event) => addLocalTimes(event.detail))
addLocalTimes(document)
