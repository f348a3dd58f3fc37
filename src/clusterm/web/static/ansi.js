// Output of programs as elements: colours are kept, everything else that a terminal would execute is left out.
// Only text nodes are made of the output, so it is never read as HTML.
const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"]
const LEVELS = [0, 95, 135, 175, 215, 255]

// Escape sequences, then control characters, and characters that change the direction of text.
// The same pattern as in job_log.py; of the sequences, the first group is that of a colour.
// eslint-disable-next-line no-control-regex
const CONTROL = /\x1b\[([0-9;:]*)m|\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g

// Return a text without colours and control characters.
export const plain = (text) => text.replace(CONTROL, "")

// Return the nodes for a text; what matches `search`, in upper or lower case, is marked.
export function styled(text, search = "") {
  const parts = []
  let style = {}, at = 0
  for (const found of text.matchAll(CONTROL)) {
    if (found.index > at) parts.push([text.slice(at, found.index), style])
    at = found.index + found[0].length
    if (found[1] !== undefined) style = changed(style, found[1])
  }
  if (at < text.length) parts.push([text.slice(at), style])
  const whole = parts.map(([part]) => part).join("")
  return search ? marked(parts, whole, search) : parts.map(([part, how]) => piece(part, how))
}

// A match may extend over parts of different colours.
function marked(parts, whole, search) {
  const low = lower(whole), wanted = lower(search), nodes = []
  let begin = 0, hit = low.indexOf(wanted)
  for (const [part, style] of parts) {
    let at = begin
    const end = begin + part.length
    while (at < end) {
      while (hit >= 0 && hit + wanted.length <= at) hit = low.indexOf(wanted, hit + wanted.length)
      const isHit = hit >= 0 && hit <= at
      const until = Math.min(end, isHit ? hit + wanted.length : hit >= 0 ? hit : end)
      const made = piece(whole.slice(at, until), style)
      if (isHit) {
        const mark = document.createElement("mark")
        mark.append(made)
        nodes.push(mark)
      } else nodes.push(made)
      at = until
    }
    begin = end
  }
  return nodes
}

// As the service searches: only ASCII letters can ignore their case. The length stays the same.
const lower = (text) => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())

function piece(text, style) {
  const classes = Object.entries(style).filter(([name, value]) => value && name !== "rgb").map(([name, value]) => (value === true ? name : `${name}-${value}`))
  if (!classes.length && !style.rgb) return document.createTextNode(text)
  const made = document.createElement("span")
  made.className = classes.join(" ")
  if (style.rgb) made.style.color = style.rgb // the policy forbids style attributes, not this
  made.textContent = text
  return made
}

function changed(before, codes) {
  const style = { ...before }, list = codes === "" ? [0] : codes.split(/[;:]/).map(Number)
  for (let i = 0; i < list.length; i++) {
    const code = list[i]
    if (code === 0) for (const name of Object.keys(style)) delete style[name]
    else if (code === 1) style.bold = true
    else if (code === 2) style.dim = true
    else if (code === 3) style.italic = true
    else if (code === 4) style.underline = true
    else if (code === 22) style.bold = style.dim = false
    else if (code === 23) style.italic = false
    else if (code === 24) style.underline = false
    else if (code === 39) colour(style, null)
    else if (code === 49) style.back = null
    else if (code >= 30 && code <= 37) colour(style, COLOURS[code - 30])
    else if (code >= 90 && code <= 97) colour(style, COLOURS[code - 90])
    else if (code >= 40 && code <= 47) style.back = COLOURS[code - 40]
    else if (code === 38 || code === 48) {
      const [used, name, rgb] = extended(list.slice(i + 1))
      i += used
      if (code === 38) colour(style, name, rgb)
    }
  }
  return style
}

function colour(style, name, rgb = null) {
  style.fore = name
  style.rgb = rgb
}

// Return how many codes belong to a colour of 256 or of all, and its name or value.
function extended([kind, ...rest]) {
  if (kind === 2) return [4, null, `rgb(${rest.slice(0, 3).map((part) => part & 255).join(" ")})`]
  const number = rest[0] & 255
  if (number < 16) return [2, COLOURS[number % 8], null]
  if (number > 231) return [2, null, `rgb(${Array(3).fill((number - 232) * 10 + 8).join(" ")})`]
  const cube = number - 16
  return [2, null, `rgb(${[Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((part) => LEVELS[part]).join(" ")})`]
}
