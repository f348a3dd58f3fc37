// The log of a job: links to lines, copying, and following a running job. The page works without this script.
const log = document.getElementById("log")
const message = document.getElementById("message")
const follow = document.getElementById("follow")
const lines = `${log.dataset.root}/ui/jobs/${log.dataset.job}/lines`
// What a terminal would execute; the same pattern as in job_log.py.
// eslint-disable-next-line no-control-regex
const CONTROL = /\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g
const SHOWN = 5000 // lines in the page while it follows
const FIRST_WAIT = 500
const LONGEST_WAIT = 10_000
let chosen = null

function kind(row) {
  const text = row.lastElementChild.textContent
  row.classList.toggle("head", /^(PLAY|TASK|RUNNING HANDLER)\b/.test(text))
  row.classList.toggle("bad", /^(fatal|failed|ERROR|\[ERROR\])/.test(text))
}

function showChosen() {
  for (const row of log.querySelectorAll(".chosen")) row.classList.remove("chosen")
  const found = /^#L(\d+)(?:-L?(\d+))?$/.exec(location.hash)
  chosen = found && [Number(found[1]), Number(found[2] ?? found[1])]
  if (!chosen) return
  const first = document.getElementById(`L${chosen[0]}`)
  if (!first) {
    const from = new URLSearchParams({ from: String(Math.max(1, chosen[0] - 20)) })
    if (chosen[0] > 0 && chosen[0] < Number(log.dataset.next) && location.search !== `?${from}`) location.search = String(from)
    return
  }
  for (let number = chosen[0]; number <= chosen[1]; number++) {
    const row = document.getElementById(`L${number}`)
    if (!row) break
    row.classList.add("chosen")
  }
  first.scrollIntoView({ block: "center" })
}

log.addEventListener("click", (event) => {
  const link = event.target.closest("a.no")
  if (!link || !event.shiftKey || !chosen) return
  event.preventDefault()
  const other = Number(link.textContent)
  location.hash = `#L${Math.min(chosen[0], other)}-L${Math.max(chosen[0], other)}`
})
addEventListener("hashchange", showChosen)

async function copy() {
  if (!chosen) {
    message.textContent = "Click the number of a line first, then shift-click another one."
    return
  }
  const response = await fetch(`${lines}?follow=false&from=${chosen[0]}&to=${chosen[1]}`)
  if (!response.ok) { message.textContent = `The lines cannot be read (${response.status}).`; return }
  const text = (await response.text()).replace(CONTROL, "")
  try {
    await navigator.clipboard.writeText(text)
  } catch { // there is no clipboard on plain http from another machine
    const area = document.createElement("textarea")
    area.value = text
    document.body.append(area)
    area.select()
    document.execCommand("copy")
    area.remove()
  }
  message.textContent = `Copied ${chosen[1] - chosen[0] + 1} lines.`
}

function wrap() {
  const button = document.getElementById("wrap")
  button.setAttribute("aria-pressed", String(log.classList.toggle("wrapped")))
}

function append(line) {
  const row = document.createElement("div"), number = document.createElement("a"), text = document.createElement("span")
  row.className = "row"
  row.id = `L${line.seq}`
  row.title = `${line.at.slice(0, 19).replace("T", " ")} UTC`
  number.className = "no"
  number.href = `#L${line.seq}`
  number.textContent = String(line.seq)
  text.className = "text"
  text.textContent = line.text.replace(CONTROL, "")
  row.append(number, text)
  log.append(row)
  kind(row)
}

const isFollowing = () => follow.getAttribute("aria-pressed") === "true"

function toggleFollow() {
  follow.setAttribute("aria-pressed", String(!isFollowing()))
  if (isFollowing()) scrollTo(0, document.documentElement.scrollHeight)
}

// Add the lines of a response as they arrive; return whether the job has ended.
async function take(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ""
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return false
    const parts = (rest + value).split("\n")
    rest = parts.pop()
    for (const line of parts.filter(Boolean).map((part) => JSON.parse(part))) {
      if (line.type === "end") return true
      append(line)
      log.dataset.next = String(line.seq + 1)
    }
    if (!isFollowing()) continue
    while (log.children.length > SHOWN) log.firstElementChild.remove()
    scrollTo(0, document.documentElement.scrollHeight)
  }
}

// A browser has six connections to a service, in all tabs: a hidden tab has none.
async function followJob() {
  let wait = FIRST_WAIT
  for (;;) {
    if (document.hidden) await new Promise((resume) => document.addEventListener("visibilitychange", resume, { once: true }))
    if (document.hidden) continue
    const stop = new AbortController()
    const leave = () => document.hidden && stop.abort()
    document.addEventListener("visibilitychange", leave)
    try {
      const options = { headers: { Accept: "application/x-ndjson" }, signal: stop.signal }
      const response = await fetch(`${lines}?follow=true&from=${log.dataset.next}`, options)
      if (response.status === 401) { location.reload(); return }
      if (response.ok) {
        message.textContent = "live"
        wait = FIRST_WAIT
        if (await take(response)) { message.textContent = "The job has ended."; location.reload(); return }
      }
    } catch { /* the connection broke, or the tab is hidden: try again */ }
    document.removeEventListener("visibilitychange", leave)
    message.textContent = "reconnecting"
    await new Promise((resume) => setTimeout(resume, wait))
    wait = Math.min(LONGEST_WAIT, wait * 2)
  }
}

function failure(way) {
  const bad = [...log.querySelectorAll(".bad")].map((row) => Number(row.id.slice(1)))
  const here = chosen ? chosen[0] : 0
  const next = way > 0 ? bad.find((number) => number > here) : bad.findLast((number) => number < here)
  if (next) location.hash = `#L${next}`
  else message.textContent = "There is no further failure on this page."
}

const KEYS = {
  "/": () => document.querySelector("input[name=q]").focus(),
  e: () => failure(1),
  E: () => failure(-1),
  w: wrap,
  c: copy,
  f: () => follow && toggleFollow(),
}
addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return
  if (!(event.key in KEYS)) return
  event.preventDefault()
  KEYS[event.key]()
})

for (const row of log.children) kind(row)
for (const [id, act] of [["wrap", wrap], ["copy", copy], ["follow", toggleFollow]]) {
  const button = document.getElementById(id)
  if (!button) continue
  button.hidden = false
  button.addEventListener("click", act)
}
showChosen()
if (follow) {
  addEventListener("wheel", (event) => { if (event.deltaY < 0 && isFollowing()) toggleFollow() }, { passive: true })
  if (!chosen) scrollTo(0, document.documentElement.scrollHeight)
  followJob()
}
