// Keeps a page up to date while it is visible: one request waits for the next change, then the changed parts are
// replaced. A hidden tab asks nothing. The page works without this script.
const LONGEST_WAIT = 30_000
const REST = 2000 // milliseconds between two updates
const root = document.documentElement.dataset.root
const said = document.getElementById("live-state")
const pause = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds))
const live = document.getElementById("live")
let state = live.dataset.state

function visible() {
  if (!document.hidden) return Promise.resolve()
  return new Promise((resume) => {
    const look = () => {
      if (document.hidden) return
      document.removeEventListener("visibilitychange", look)
      resume()
    }
    document.addEventListener("visibilitychange", look)
  })
}

// Return the next state: null if the connection broke or the tab was hidden meanwhile.
async function next() {
  const stop = new AbortController()
  const leave = () => document.hidden && stop.abort()
  document.addEventListener("visibilitychange", leave)
  try {
    const response = await fetch(`${root}/ui/changes?${new URLSearchParams({ after: state, lines: live.dataset.lines ?? "false" })}`, { signal: stop.signal })
    if (response.status === 401) location.reload()
    if (response.status === 429) await pause(1000 * Number(response.headers.get("Retry-After") ?? 5))
    return response.ok ? (await response.json()).state : null
  } catch {
    return null
  } finally {
    document.removeEventListener("visibilitychange", leave)
  }
}

// The parser of XMLHttpRequest runs no script, and needs no text as HTML, which Trusted Types forbid.
function load() {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest()
    request.open("GET", location.href)
    request.responseType = "document"
    request.onload = () => resolve(request.status === 200 ? request.response : null)
    request.onerror = () => resolve(null)
    request.send()
  })
}

function isInUse(part) {
  const selection = getSelection()
  if (!selection.isCollapsed && part.contains(selection.anchorNode)) return true
  return part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea, button")
}

function replace(old, fresh) {
  const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null
  const opened = [...old.querySelectorAll("details")].map((details) => details.open)
  fresh.querySelectorAll("details").forEach((details, index) => { details.open = opened[index] ?? false })
  if (old.localName === "details") fresh.open = old.open
  old.replaceWith(fresh)
  if (focused) [...fresh.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus()
}

// Replace the parts that differ, but none that is in use; return whether all is up to date.
function update(page) {
  const fresh = page.getElementById("live")
  if (!fresh) return
  dispatchEvent(new CustomEvent("shown", { detail: fresh }))
  const pairs = ["live", "live-nodes"].map((id) => [document.getElementById(id), page.getElementById(id)])
  const isComplete = pairs.filter(([old]) => old).map(([old, copy]) => merge(old, copy)).every(Boolean)
  document.title = page.title
  if (isComplete) state = fresh.dataset.state
}

function merge(shown, fresh) {
  const before = [...shown.children], after = [...fresh.children]
  let isComplete = true
  for (let index = 0; index < Math.max(before.length, after.length); index++) {
    const old = before[index], copy = after[index] && document.adoptNode(after[index])
    if (!old) shown.append(copy)
    else if (isInUse(old)) isComplete = false
    else if (!copy) old.remove()
    else if (!isSame(old, copy)) replace(old, copy)
  }
  return isComplete
}

// What the user has opened is not a difference.
function isSame(old, copy) {
  const closed = old.cloneNode(true)
  for (const details of closed.querySelectorAll("details")) details.open = false
  if (closed.localName === "details") closed.open = false
  return closed.isEqualNode(copy)
}

async function stayLive() {
  let wait = 500
  for (;;) {
    await visible()
    const found = await next()
    if (document.hidden) continue
    if (found === null) {
      said.textContent = "reconnecting"
      await pause(wait)
      wait = Math.min(LONGEST_WAIT, wait * 2)
      continue
    }
    said.textContent = "live"
    wait = 500
    if (found === state) continue
    const began = performance.now()
    const page = await load()
    if (page) update(page)
    await pause(Math.max(REST, 5 * (performance.now() - began)))
  }
}

stayLive()
