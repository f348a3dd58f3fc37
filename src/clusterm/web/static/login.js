// A link on another site is followed without the cookie (SameSite=Strict). This request has it, as one of our own page.
const root = location.pathname.replace(/\/ui\/.*$/, "")
const response = await fetch(`${root}/ui/session`, { redirect: "manual" })
if (response.status === 204) location.replace(root + document.querySelector("input[name=to]").value)
