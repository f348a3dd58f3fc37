// The log of a job: search, filters, links to lines, copying, and following a running job.
// Without this script, the page shows the log in pages, with the same filters.
import { plain, styled } from "./ansi.js"
import { ask, pause } from "./ask.js"
import { Lines } from "./lines.js"
import { Rows } from "./rows.js"

const FIRST_WAIT = 500
const LONGEST_WAIT = 10_000
const TYPING_MS = 250
const MOST_COPIED = 100_000
const MATCHES = 200_000 // numbers of lines per request
const WORST_MARKS = 2000 // on the scrollbar

const $ = (id) => document.getElementById(id)
const about = $("log").dataset
const address = `${about.root}/ui/jobs/${about.job}`
const failures = about.failures ? about.failures.split(",").map(Number) : []
const form = $("filters"), message = $("message"), follow = $("follow"), news = $("news"), marks = $("marks")
const log = {
  lines: Number(about.lines),
  ended: about.ended === "true",
  matches: null, // numbers of the lines that meet the conditions; null without conditions
  only: false, // whether others are hidden
  count: () => (log.only ? log.matches.length : log.lines),
  number: (row) => (log.only ? log.matches[row] : row + 1),
  row: (number) => (log.only ? position(log.matches, number) : number - 1),
}
let chosen = null // first and last of the chosen lines
let unseen = 0

// Return how many numbers of an ascending list are smaller.
function position(list, number) {
  let low = 0, high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (list[middle] < number) low = middle + 1
    else high = middle
  }
  return low
}

const tell = (text) => { message.textContent = text }
const written = (number) => number.toLocaleString("en")

// Rows

const lines = new Lines(`${address}/lines`, log, (problem) => {
  if (problem) tell(`The lines cannot be read: ${problem}`)
  else view.paint()
})
const view = new Rows($("viewer"), { count: log.count, draw, moved, unpinned: () => showFollow(false) })

// The lines of the page as the service sent it: they are shown until those with colours have arrived.
const sent = new Map([...document.querySelectorAll("#log .row")].map((row) => [Number(row.id.slice(1)), row.lastElementChild.textContent]))

function draw(element, row) {
  const number = log.number(row), read = lines.at(row)
  const line = read === undefined && sent.has(number) ? { text: sent.get(number), at: "" } : read
  const isChosen = chosen !== null && number >= chosen[0] && number <= chosen[1]
  const isHit = log.matches !== null && !log.only && log.matches[position(log.matches, number)] === number
  element.classList.toggle("chosen", isChosen)
  element.classList.toggle("hit", isHit)
  const shown = `${number} ${isHit || log.only} ${line === null} ${line?.at} ${line?.task}`
  if (element.shown === shown) return
  element.shown = shown
  element.dataset.line = number
  const link = document.createElement("a"), text = document.createElement("span")
  link.className = "no"
  link.href = `#L${number}`
  link.tabIndex = -1
  link.textContent = String(number)
  text.className = "text"
  if (line) text.append(...styled(line.text, isHit || log.only ? conditions().q : ""))
  else if (line === null) text.textContent = "[this line is left out]"
  const bare = line ? plain(line.text) : ""
  element.classList.toggle("waiting", line === undefined)
  element.classList.toggle("head", /^(PLAY|TASK|RUNNING HANDLER)\b/.test(bare))
  element.classList.toggle("bad", /^(fatal|failed|ERROR|\[ERROR\])/.test(bare))
  element.title = read ? origin(read) : ""
  element.replaceChildren(link, text)
}

const origin = (line) => [`${line.at.slice(0, 19).replace("T", " ")} UTC`, line.node, line.play, line.task].filter(Boolean).join(" · ")

function moved(visible) {
  lines.want(visible)
  const total = log.count(), line = total ? lines.at(visible.first) : null
  $("where").textContent = total ? `line ${written(log.number(visible.first))} of ${written(log.lines)}` : "no lines"
  $("origin").textContent = line ? origin(line) : ""
}

// Marks of matches and failures beside the scrollbar

function paintMarks() {
  const scale = devicePixelRatio || 1, height = view.height, pen = marks.getContext("2d")
  marks.style.height = `${height}px`
  marks.width = 8 * scale
  marks.height = height * scale
  const paint = (numbers, name, width) => {
    marks.style.color = `var(${name})` // a canvas does not know variables
    pen.fillStyle = getComputedStyle(marks).color
    const step = Math.max(1, Math.ceil(numbers.length / WORST_MARKS))
    for (let i = 0; i < numbers.length; i += step) pen.fillRect(0, (numbers[i] / Math.max(1, log.lines)) * (marks.height - 2 * scale), width * scale, 2 * scale)
  }
  paint(log.matches ?? [], "--warn", 5)
  paint(failures, "--fail", 8)
}

// Search and filters; they are in the address

function conditions() {
  const fields = new FormData(form)
  return { q: fields.get("q"), node: fields.get("node"), failed: fields.has("failed"), only: fields.has("only") }
}

let searching = null
async function search() {
  searching?.abort()
  const { signal } = (searching = new AbortController())
  const { q, node, failed, only } = conditions(), keep = log.count() ? log.number(view.top.row) : 1
  const shown = new URLSearchParams(Object.entries({ q, node, failed: failed && "true", only: only && "true" }).filter(([, value]) => value))
  history.replaceState(null, "", `${location.pathname}${shown.size ? `?${shown}` : ""}${location.hash}`)
  const query = new URLSearchParams(Object.entries({ grep: q, ignore_case: q && "true", node, failed: failed && "true" }).filter(([, value]) => value))
  let found = null
  if (query.size) {
    tell("searching")
    try {
      found = await matches(query, 0, signal)
    } catch (error) {
      if (error.name !== "AbortError") tell(`The search failed: ${error.message}`)
      return
    }
    tell(`${written(found.length)} ${found.length === 1 ? "line" : "lines"}`)
  } else tell("")
  log.matches = found
  log.searched = { query, q, to: log.lines }
  log.only = found !== null && (only || node !== "" || failed)
  lines.reset(log.only ? `&${query}` : "")
  view.refresh(true)
  if (view.pinned) view.pin(true)
  else if (chosen === null && found?.length && !log.only) step(found, 1, keep - 1, "line")
  else view.goTo(log.row(keep), { third: false })
  paintMarks()
}

async function matches(query, after, signal) {
  const numbers = []
  for (let last = after, more = true; more; ) {
    const response = await ask(`${address}/matches?${query}&after=${last}&limit=${MATCHES}`, { signal })
    const found = await response.json()
    for (const gap of found.gaps) numbers.push((last += gap))
    more = found.more
  }
  return numbers
}

// Go to the next or the previous one of some lines.
function step(numbers, way, from, what) {
  if (!numbers?.length) {
    tell(what === "failure" ? "The job has no failures with lines." : "Nothing is searched for.")
    return
  }
  const here = from ?? (chosen ? chosen[0] : log.number(view.top.row))
  let place = way > 0 ? position(numbers, here + 1) : position(numbers, here) - 1
  place = (place + numbers.length) % numbers.length
  choose(numbers[place], numbers[place])
  goTo(numbers[place])
  tell(`${what} ${written(place + 1)} of ${written(numbers.length)}`)
}

let typing = 0
form.addEventListener("input", (event) => {
  clearTimeout(typing)
  typing = setTimeout(search, event.target.name === "q" ? TYPING_MS : 0)
})
form.addEventListener("submit", (event) => {
  event.preventDefault()
  clearTimeout(typing)
  if (log.searched && log.searched.q === conditions().q) KEYS.n()
  else search()
})

// Lines that are chosen: a link, copied, shown

function choose(first, last) {
  chosen = [Math.min(first, last), Math.max(first, last)]
  history.replaceState(null, "", `#L${chosen[0]}${chosen[1] > chosen[0] ? `-L${chosen[1]}` : ""}`)
  view.paint()
}

function goTo(number) {
  showFollow(false)
  view.goTo(Math.min(log.row(number), Math.max(0, log.count() - 1)))
}

// Return whether the address names lines.
function readHash() {
  const found = /^#L(\d+)(?:-L?(\d+))?$/.exec(location.hash)
  chosen = found && [Number(found[1]), Number(found[2] ?? found[1])]
  if (found) goTo(chosen[0])
  return found !== null
}

$("viewer").addEventListener("click", (event) => {
  const link = event.target.closest("a.no")
  if (!link) return
  event.preventDefault()
  const number = Number(link.textContent)
  if (event.shiftKey && chosen) choose(chosen[0], number)
  else choose(number, number)
})
addEventListener("hashchange", readHash)

async function copy() {
  if (!chosen) return tell("Click the number of a line first, then shift-click another one.")
  const count = chosen[1] - chosen[0] + 1
  if (count > MOST_COPIED) return tell("These are too many lines to copy: download the log.")
  try {
    const response = await ask(`${address}/lines?format=text&follow=false&from=${chosen[0]}&to=${chosen[1]}`)
    await toClipboard(plain(await response.text()))
    tell(`Copied ${count} lines.`)
  } catch (error) {
    tell(`The lines were not copied: ${error.message}`)
  }
}

async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const area = document.createElement("textarea") // there is no clipboard on plain http from another machine
  area.value = text
  document.body.append(area)
  area.select()
  const done = document.execCommand("copy")
  area.remove()
  if (!done) throw new Error("the browser does not allow it")
}

// Follow a running job. A browser has six connections to a service, in all tabs: a hidden tab has none.

function showFollow(on) {
  view.pinned = on
  if (on) unseen = 0
  follow.setAttribute("aria-pressed", String(on))
  showNews()
}

function setFollow(on) {
  showFollow(on)
  if (on) view.pin(true)
}

function showNews() {
  news.hidden = view.pinned || !unseen
  news.textContent = `↓ ${written(unseen)} new ${unseen === 1 ? "line" : "lines"}`
}

async function followJob() {
  let wait = FIRST_WAIT
  while (!log.ended) {
    if (document.hidden) {
      await new Promise((resume) => document.addEventListener("visibilitychange", resume, { once: true }))
      continue
    }
    const stop = new AbortController()
    const leave = () => document.hidden && stop.abort()
    document.addEventListener("visibilitychange", leave)
    try {
      const response = await ask(`${address}/lines?format=ndjson&follow=true&from=${log.lines + 1}`, { signal: stop.signal })
      $("live").textContent = "live"
      wait = FIRST_WAIT
      await take(response)
    } catch (error) {
      if (error.name !== "AbortError") $("live").textContent = `reconnecting: ${error.message}`
    }
    document.removeEventListener("visibilitychange", leave)
    if (log.ended) return
    $("live").textContent = "reconnecting"
    await pause(wait)
    wait = Math.min(LONGEST_WAIT, wait * 2)
  }
}

// Add the lines of a response as they arrive.
async function take(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ""
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    const parts = (rest + value).split("\n")
    rest = parts.pop()
    const before = log.lines
    for (const line of parts.filter(Boolean).map((part) => JSON.parse(part))) {
      if (line.type === "end") return end(line)
      log.lines = line.seq
      if (!log.only) lines.add(line)
    }
    if (!view.pinned) unseen += log.lines - before
    showNews()
    if (log.matches) searchNew()
    view.refresh()
  }
}

// Search in the lines that were added, at most once a second.
let searchingNew = false
async function searchNew() {
  if (searchingNew) return
  searchingNew = true
  await pause(1000)
  const { searched, matches: known } = log, to = log.lines
  try {
    if (known && !log.ended) {
      const found = await matches(searched.query, searched.to, searching.signal)
      if (log.matches === known) {
        for (const number of found) known.push(number)
        searched.to = to
        view.refresh()
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") tell(`The search failed: ${error.message}`)
  }
  searchingNew = false
}

// Now it is known what wrote each line, and how the job has ended.
function end(record) {
  log.ended = true
  const pill = $("status").firstElementChild
  pill.textContent = record.status
  pill.dataset.status = record.status
  $("live").textContent = ""
  follow.hidden = true
  tell("The job has ended.")
  const { pinned } = view
  lines.reset("")
  if (log.matches) search()
  else view.refresh(true)
  if (pinned) view.pin(true)
}

// Keys and buttons

function wrap(on = !view.wrapped) {
  view.wrap(on)
  $("wrap").setAttribute("aria-pressed", String(on))
  try {
    localStorage.setItem("wrap", on ? "yes" : "")
  } catch { /* a private window keeps nothing */ }
}

function wasWrapped() {
  try {
    return Boolean(localStorage.getItem("wrap"))
  } catch {
    return false
  }
}

const KEYS = {
  "/": () => form.elements.q.focus(),
  n: () => step(log.matches, 1, null, "line"),
  N: () => step(log.matches, -1, null, "line"),
  e: () => step(failures, 1, null, "failure"),
  E: () => step(failures, -1, null, "failure"),
  f: () => !log.ended && setFollow(!view.pinned),
  w: () => wrap(),
  c: copy,
  g: () => { showFollow(false); view.goTo(0) },
  G: () => (log.ended ? view.goTo(log.count() - 1) : setFollow(true)),
  "?": () => { $("keys").open = !$("keys").open },
}
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  if (event.target.matches("input[type=search]")) {
    if (event.key !== "Escape") return
    event.preventDefault() // which would empty it, without an event
    $("viewer").focus()
  } else if (event.key in KEYS && !event.target.matches("select")) {
    event.preventDefault()
    KEYS[event.key]()
  }
})
const BUTTONS = { wrap: () => wrap(), copy, next: KEYS.e, previous: KEYS.E, follow: KEYS.f, news: () => setFollow(true) }
for (const [id, act] of Object.entries(BUTTONS)) $(id).addEventListener("click", () => act())

for (const paged of document.querySelectorAll(".paged")) paged.remove()
for (const hidden of document.querySelectorAll(".scripted")) hidden.hidden = false
follow.hidden = log.ended
news.hidden = true
view.wrap(wasWrapped())
$("wrap").setAttribute("aria-pressed", String(view.wrapped))
view.resize()
if (!readHash()) {
  const from = Number(new URLSearchParams(location.search).get("from"))
  if (from) view.goTo(from - 1, { third: false })
  else if (!log.ended) setFollow(true)
}
if (Object.values(conditions()).some(Boolean)) search()
paintMarks()
new ResizeObserver(paintMarks).observe($("viewer"))
if (!log.ended) followJob()
