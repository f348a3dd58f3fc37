// Pictures of a job: the result of each task on each node, and how long the tasks took.
import { ask } from "./ask.js"
import { duration, explain, fitted, keepPainted, prepare, readColours } from "./picture.js"

const WORDS = {
  ".": "ok", c: "changed", s: "skipped", F: "failed", U: "unreachable", i: "failed and ignored", r: "rescued", l: "failed and cleared",
  b: "running or interrupted", " ": "not run",
}
const COLOURS = { ".": "ok", c: "warn", s: "line", F: "fail", U: "gone", i: "mark", r: "mark", l: "mark", b: "busy" }
const BAD = "FU"
const LABELS = 110 // pixels for the names of tasks
const TALLEST = 900
const BARS = 40 // tasks in the second picture: the longest ones

const $ = (id) => document.getElementById(id)
const { root, job } = $("pictures").dataset
const canvas = $("grid"), bars = $("bars")
let grid = null, place = { row: 0, column: 0 }, shape = null

function tell() {
  const node = grid.nodes[place.row], task = grid.tasks[place.column], cell = grid.rows[place.row][place.column]
  $("cell").textContent = `${node}: ${task.task}: ${WORDS[cell]}`
}

function paintGrid() {
  const colours = readColours(["ink", "soft", "card", "link", ...new Set(Object.values(COLOURS))])
  const wide = canvas.parentElement.clientWidth - 2, names = wide < 600 ? 90 : 200
  const width = Math.min(24, (wide - names - 8) / grid.tasks.length)
  const height = Math.max(1, Math.min(16, Math.floor(TALLEST / grid.nodes.length)))
  const top = width >= 10 ? LABELS : 8
  shape = { names, width, height, top }
  const pen = prepare(canvas, wide, top + grid.nodes.length * height + 8)
  pen.fillStyle = colours.soft
  if (top === LABELS) {
    grid.tasks.forEach((task, column) => {
      pen.save()
      pen.translate(names + column * width + width / 2, top - 6)
      pen.rotate(-Math.PI / 3)
      pen.fillText(fitted(pen, task.task, LABELS), 0, 0)
      pen.restore()
    })
  }
  grid.nodes.forEach((node, row) => {
    const y = top + row * height
    if (height >= 12) {
      pen.fillStyle = row < grid.failed ? colours.fail : colours.ink
      pen.fillText(fitted(pen, node, names - 12), 4, y + height / 2)
    }
    const cells = grid.rows[row]
    for (let column = 0; column < cells.length; column++) if (COLOURS[cells[column]] && !BAD.includes(cells[column])) paintCell(pen, colours, row, column, cells[column])
    for (let column = 0; column < cells.length; column++) if (BAD.includes(cells[column])) paintCell(pen, colours, row, column, cells[column])
  })
  if (document.activeElement === canvas) {
    pen.strokeStyle = colours.link
    pen.lineWidth = 2
    pen.strokeRect(names + place.column * width - 1, top + place.row * height - 1, Math.max(4, width) + 2, Math.max(4, height) + 2)
  }
}

// What failed is never thinner than can be seen, and has a cross, so that it does not depend on colour alone.
function paintCell(pen, colours, row, column, cell) {
  const { names, width, height, top } = shape
  const isBad = BAD.includes(cell), gap = Math.min(width, height) >= 6 ? 1 : 0
  const x = names + column * width, y = top + row * height
  pen.fillStyle = colours[COLOURS[cell]]
  pen.fillRect(x, y, Math.max(isBad ? 2 : 0.5, width - gap), Math.max(isBad ? 2 : 0.5, height - gap))
  if (!isBad || width < 8 || height < 8) return
  pen.strokeStyle = colours.card
  pen.lineWidth = 1.5
  pen.beginPath()
  pen.moveTo(x + 3, y + 3)
  pen.lineTo(x + width - gap - 3, y + height - gap - 3)
  pen.moveTo(x + width - gap - 3, y + 3)
  pen.lineTo(x + 3, y + height - gap - 3)
  pen.stroke()
}

function paintBars() {
  const colours = readColours(["ink", "soft", "line", "busy", "fail"])
  const at = (time) => (time ? Date.parse(time) / 1000 : null)
  const timed = grid.tasks.filter((task) => task.started_at && task.finished_at)
  if (!timed.length) return
  const length = (task) => at(task.finished_at) - at(task.started_at)
  const least = timed.map(length).sort((a, b) => b - a)[BARS - 1] ?? 0
  const shown = timed.filter((task) => length(task) >= least).slice(0, BARS)
  const begin = Math.min(...timed.map((task) => at(task.started_at))), end = Math.max(...timed.map((task) => at(task.finished_at)), begin + 0.1)
  const wide = bars.parentElement.clientWidth - 2, names = wide < 600 ? 110 : 260, room = wide - names - 70, height = 18
  const x = (time) => names + ((time - begin) / (end - begin)) * room
  const pen = prepare(bars, wide, shown.length * height + 8)
  shown.forEach((task, row) => {
    const y = 4 + row * height, from = at(task.started_at), until = at(task.finished_at), half = at(task.median_at) ?? until
    pen.fillStyle = task.failed ? colours.fail : colours.ink
    pen.fillText(fitted(pen, task.task, names - 12), 4, y + height / 2)
    pen.fillStyle = colours.line
    pen.fillRect(x(from), y + 3, Math.max(2, x(until) - x(from)), height - 6)
    pen.fillStyle = task.failed ? colours.fail : colours.busy
    pen.fillRect(x(from), y + 3, Math.max(2, x(half) - x(from)), height - 6)
    pen.fillStyle = colours.soft
    pen.fillText(duration(until - from), Math.min(x(until) + 6, wide - 58), y + height / 2)
  })
}

function summarize() {
  const worst = grid.tasks.filter((task) => task.failed).sort((a, b) => b.failed - a.failed)[0]
  const failed = grid.failed ? `${grid.failed} of ${grid.total} nodes failed a task, most of them “${worst?.task ?? "?"}”.` : `No task failed on any of ${grid.total} nodes.`
  const more = grid.next ? ` The first ${grid.nodes.length} nodes are shown.` : ""
  $("summary").textContent = `${grid.tasks.length} tasks. ${failed}${more}`
  canvas.setAttribute("aria-label", $("summary").textContent)
  bars.setAttribute("aria-label", `The durations of the longest of ${grid.tasks.length} tasks; the table of tasks has all of them`)
}

function open() {
  const query = new URLSearchParams({ node: grid.nodes[place.row], task: String(grid.tasks[place.column].number) })
  if (grid.rows[place.row][place.column] !== " ") location.href = `${root}/ui/jobs/${job}/cell?${query}`
}

function under(event) {
  const column = Math.floor((event.offsetX - shape.names) / shape.width), row = Math.floor((event.offsetY - shape.top) / shape.height)
  return column >= 0 && row >= 0 && column < grid.tasks.length && row < grid.nodes.length ? { row, column } : null
}

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], PageUp: [-20, 0], PageDown: [20, 0] }

function listen(later) {
  canvas.addEventListener("pointermove", (event) => {
    const found = under(event)
    canvas.style.cursor = found ? "pointer" : ""
    if (found) {
      place = found
      tell()
    }
  })
  canvas.addEventListener("click", (event) => {
    const found = under(event)
    if (!found) return
    place = found
    open()
  })
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter") return open()
    if (!(event.key in MOVES)) return
    event.preventDefault()
    const [rows, columns] = MOVES[event.key]
    place.row = Math.max(0, Math.min(grid.nodes.length - 1, place.row + rows))
    place.column = Math.max(0, Math.min(grid.tasks.length - 1, place.column + columns))
    tell()
    later()
  })
  for (const change of ["focus", "blur"]) canvas.addEventListener(change, later)
}

try {
  const response = await ask(`${root}/ui/jobs/${job}/grid?limit=1000`)
  grid = await response.json()
  if (grid.tasks.length && grid.nodes.length) {
    $("pictures").hidden = false
    summarize()
    explain($("legend"), [["ok", "ok"], ["changed", "warn"], ["skipped", "line"], ["failed", "fail"], ["unreachable", "gone"], ["ignored or rescued", "mark"], ["running", "busy"]])
    listen(keepPainted(canvas.parentElement, () => { paintGrid(); paintBars() }))
  }
} catch (error) {
  $("pictures").hidden = false
  $("summary").textContent = `The results cannot be read: ${error.message}`
}
