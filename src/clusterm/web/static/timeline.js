// Nodes by time: in which status and state each node was.
import { ask } from "./ask.js"
import { explain, fitted, keepPainted, prepare, readColours } from "./picture.js"

const AXIS = 24 // pixels for the times
const ROW = 18 // pixels of a node in the mode with a row each
const LEAST = 2 // pixels of a node below which nodes share a line of pixels
const STEPS = [60, 300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800]
const COLOURS = { Unallocated: "idle", Provisioning: "busy", Allocated: "ok", Maintenance: "warn", Cancelled: "warn", Decommissioned: "line" }

const $ = (id) => document.getElementById(id)
const { root } = $("picture").dataset
const box = $("states"), canvas = $("time"), space = $("space")
let data = null, from = 0, until = 1, each = false, place = { row: 0, segment: 0 }, drag = null, later = () => {}

const whole = () => data.seconds
const isGone = (segment) => data.states[segment[2]] === "Disappeared"
const endOf = (segments, index) => segments[index + 1]?.[0] ?? whole()
const room = () => box.clientHeight - AXIS
const height = () => (each ? ROW : Math.min(ROW, room() / data.nodes.length))
const names = () => (height() < 10 ? 16 : box.clientWidth < 600 ? 100 : 200)
const wide = () => box.clientWidth - names() - 12
const x = (second) => names() + ((second - from) / (until - from)) * wide()
const time = (pixel) => Math.max(0, Math.min(whole(), from + ((pixel - names()) / wide()) * (until - from)))
const clock = (second) => new Date(data.since + second * 1000).toISOString().slice(0, 19).replace("T", " ")

function words(segment) {
  if (segment[1] < 0) return "not known yet"
  const job = segment[3] ? `, job ${segment[3]}${segment[4] ? " failed" : ""}` : ""
  return `${data.statuses[segment[1]]}, ${isGone(segment) ? "unreachable" : data.states[segment[2]]}${job}`
}

function tell() {
  const node = data.nodes[place.row], segment = node.segments[place.segment]
  $("segment").textContent = `${node.name}: ${words(segment)}, ${clock(segment[0])} to ${clock(endOf(node.segments, place.segment))} UTC`
}

function paint() {
  if (!data) return
  space.style.height = `${each ? Math.max(box.clientHeight, data.nodes.length * ROW + AXIS) : box.clientHeight}px`
  const colours = readColours(["ink", "soft", "line", "card", "link", "hover", "fail", "gone", ...new Set(Object.values(COLOURS))])
  const pen = prepare(canvas, box.clientWidth, box.clientHeight)
  if (!data.nodes.length) return
  if (height() < LEAST) paintMeans(pen, colours)
  else paintRows(pen, colours)
  paintAxis(pen, colours)
  if (drag) {
    pen.fillStyle = colours.link
    pen.globalAlpha = 0.25
    pen.fillRect(Math.min(drag.begin, drag.now), AXIS, Math.abs(drag.now - drag.begin), room())
  }
}

const colourOf = (segment, colours) => colours[COLOURS[data.statuses[segment[1]]]]

function paintRows(pen, colours) {
  const high = height(), first = Math.floor(box.scrollTop / high), last = Math.min(data.nodes.length, Math.ceil((box.scrollTop + room()) / high))
  for (let row = first; row < last; row++) {
    const { name, segments } = data.nodes[row], y = AXIS + row * high - box.scrollTop, gap = high > 5 ? 1 : 0
    if (high >= 10) {
      pen.fillStyle = colours.ink
      pen.fillText(fitted(pen, name, names() - 12), 4, y + high / 2)
    }
    segments.forEach((segment, index) => {
      const end = endOf(segments, index)
      if (segment[1] < 0 || end < from || segment[0] > until) return
      const left = Math.max(names(), x(segment[0])), width = Math.max(1, Math.min(names() + wide(), x(end)) - left)
      pen.fillStyle = isGone(segment) ? colours.gone : colourOf(segment, colours)
      if (isGone(segment)) pen.fillRect(left, y + high / 3, width, Math.max(1, high / 3)) // thin, so that colour is not all
      else pen.fillRect(left, y + gap, width, high - 2 * gap)
    })
    for (const segment of segments) if (segment[4] && segment[0] >= from && segment[0] <= until) paintFlag(pen, colours, x(segment[0]), y, high)
    if (document.activeElement !== canvas || row !== place.row) continue
    const left = Math.max(names(), x(segments[place.segment][0]))
    pen.strokeStyle = colours.link
    pen.lineWidth = 2
    pen.strokeRect(left, y, Math.max(4, Math.min(names() + wide(), x(endOf(segments, place.segment))) - left), high)
  }
}

function paintFlag(pen, colours, left, y, high) {
  pen.fillStyle = colours.fail
  if (high < 9) return pen.fillRect(left - 1, y, 3, Math.max(2, high))
  pen.fillRect(left - 1, y + 1, 2, high - 2)
  pen.beginPath()
  pen.moveTo(left, y + 1)
  pen.lineTo(left + 8, y + high / 3)
  pen.lineTo(left, y + (high * 2) / 3)
  pen.fill()
}

// More nodes than lines of pixels: a line has the mean colour of its nodes, and half of that of nodes that are gone.
// Each segment is noted at its begin and end alone, and summed up along the line.
function paintMeans(pen, colours) {
  const scale = devicePixelRatio || 1, columns = Math.floor(wide() * scale), rows = Math.floor(room() * scale), stride = columns + 1
  const sums = [0, 1, 2, 3, 4].map(() => new Int32Array(rows * stride)) // red, green, blue, nodes, nodes that are gone
  const parts = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map(Number)
  const mixes = data.statuses.map((status) => parts(colours[COLOURS[status]])), gone = parts(colours.gone), back = parts(colours.card)
  const flags = [], perSecond = columns / (until - from)
  data.nodes.forEach(({ segments }, row) => {
    const top = Math.floor((row / data.nodes.length) * rows), bottom = Math.max(top + 1, Math.floor(((row + 1) / data.nodes.length) * rows))
    segments.forEach((segment, index) => {
      const end = endOf(segments, index)
      if (segment[1] < 0 || end < from || segment[0] > until) return
      const a = Math.min(columns - 1, Math.max(0, Math.floor((segment[0] - from) * perSecond))), b = Math.min(columns, Math.max(a + 1, Math.floor((end - from) * perSecond)))
      const values = isGone(segment) ? [0, 0, 0, 0, 1] : [...mixes[segment[1]], 1, 0]
      for (let line = top; line < bottom; line++) {
        for (let sum = 0; sum < 5; sum++) {
          sums[sum][line * stride + a] += values[sum]
          sums[sum][line * stride + b] -= values[sum]
        }
      }
      if (segment[4] && segment[0] >= from) flags.push([a / scale, top / scale])
    })
  })
  const image = pen.createImageData(columns, rows)
  for (let row = 0, out = 0; row < rows; row++) {
    const run = [0, 0, 0, 0, 0]
    for (let column = 0, at = row * stride; column < columns; column++, at++) {
      for (let sum = 0; sum < 5; sum++) run[sum] += sums[sum][at]
      const share = run[4] ? (run[3] ? 0.5 : 1) : 0
      for (let part = 0; part < 3; part++) image.data[out++] = (run[3] ? run[part] / run[3] : back[part]) * (1 - share) + gone[part] * share
      image.data[out++] = 255
    }
  }
  pen.putImageData(image, Math.round(names() * scale), AXIS * scale)
  pen.fillStyle = colours.fail
  for (const [left, y] of flags) pen.fillRect(names() + left - 1, AXIS + y - 1, 3, 3)
}

function paintAxis(pen, colours) {
  pen.fillStyle = colours.card
  pen.fillRect(0, 0, box.clientWidth, AXIS)
  const step = STEPS.find((seconds) => ((until - from) / seconds) * 80 < wide()) ?? STEPS.at(-1)
  const first = Math.ceil((data.since / 1000 + from) / step) * step
  for (let at = first; at - data.since / 1000 <= until; at += step) {
    const left = x(at - data.since / 1000), text = new Date(at * 1000).toISOString()
    pen.fillStyle = colours.line
    pen.fillRect(left, AXIS - 6, 1, 6)
    pen.fillStyle = colours.soft
    if (left < names() + wide() - 36) pen.fillText(step < 86_400 && at % 86_400 ? text.slice(11, 16) : text.slice(5, 10), left + 3, AXIS / 2)
  }
}

function under(event) {
  const row = Math.floor((event.offsetY - AXIS + (each ? box.scrollTop : 0)) / height()), second = time(event.offsetX)
  if (event.offsetY < AXIS || row < 0 || row >= data.nodes.length) return null
  return { row, segment: Math.max(0, data.nodes[row].segments.findLastIndex((segment) => segment[0] <= second)) }
}

const openNode = () => { location.href = `${root}/ui/nodes/${encodeURIComponent(data.nodes[place.row].name)}` }

function zoom(begin, end) {
  ;[from, until] = [begin, end]
  $("whole").hidden = begin === 0 && end === whole()
  later()
}

canvas.addEventListener("pointermove", (event) => {
  if (drag) {
    drag.now = event.offsetX
    return later()
  }
  const found = data && under(event)
  if (!found) return
  place = found
  tell()
})
canvas.addEventListener("pointerdown", (event) => {
  if (event.pointerType === "touch" || !data?.nodes.length) return
  drag = { begin: event.offsetX, now: event.offsetX }
  canvas.setPointerCapture(event.pointerId)
})
canvas.addEventListener("pointerup", (event) => {
  if (!drag) return
  const [left, right] = [drag.begin, event.offsetX].sort((a, b) => a - b)
  drag = null
  if (right - left > 6) return zoom(time(left), time(right))
  const found = under(event)
  if (!found) return later()
  place = found
  openNode()
})
canvas.addEventListener("keydown", (event) => {
  if (!data?.nodes.length) return
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], PageUp: [-20, 0], PageDown: [20, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }
  if (event.key === "Enter") return openNode()
  if (event.key === "Escape") return zoom(0, whole())
  if (!(event.key in moves)) return
  event.preventDefault()
  const [rows, segments] = moves[event.key]
  const row = Math.max(0, Math.min(data.nodes.length - 1, place.row + rows)), last = data.nodes[row].segments.length - 1
  place = { row, segment: rows ? last : Math.max(0, Math.min(last, place.segment + segments)) }
  if (each) box.scrollTop = Math.max(Math.min(box.scrollTop, row * ROW), (row + 1) * ROW - room())
  tell()
  later()
})
for (const change of ["focus", "blur"]) canvas.addEventListener(change, () => later())
box.addEventListener("scroll", () => later(), { passive: true })
$("whole").addEventListener("click", () => zoom(0, whole()))
$("each").addEventListener("click", () => {
  each = !each
  $("each").setAttribute("aria-pressed", String(each))
  box.scrollTop = 0
  later()
})

function summarize() {
  const failed = data.nodes.filter(({ segments }) => segments.some((segment) => segment[4])).length
  const gone = data.nodes.filter(({ segments }) => isGone(segments.at(-1))).length
  $("summary").textContent = `${data.nodes.length.toLocaleString("en")} nodes: a job failed on ${failed.toLocaleString("en")} of them, ${gone.toLocaleString("en")} are unreachable at the end.`
  canvas.setAttribute("aria-label", $("summary").textContent)
}

$("picture").hidden = false
explain($("legend"), [...Object.entries(COLOURS).filter(([status]) => status !== "Cancelled"), ["unreachable", "gone"], ["failed", "fail"]])
try {
  const shown = new URLSearchParams(location.search)
  const response = await ask(`${root}/ui/timeline/states?${new URLSearchParams({ hours: shown.get("hours") || "24", q: shown.get("node") ?? "" })}`)
  data = await response.json()
  data.since = Date.parse(data.since)
  data.seconds = (Date.parse(data.until) - data.since) / 1000
  until = data.seconds
  summarize()
  later = keepPainted(box, paint)
} catch (error) {
  $("summary").textContent = `The states cannot be read: ${error.message}`
}
