// Shared by the pictures: canvases, colours, and texts that fit.
const FONT = "12px system-ui, 'DejaVu Sans', sans-serif"

// Return a pen for a canvas whose size is given in the pixels of a page.
export function prepare(canvas, width, height) {
  const scale = devicePixelRatio || 1
  canvas.style.width = `${width}px`
  canvas.style.height = `${height}px`
  canvas.width = Math.round(width * scale)
  canvas.height = Math.round(height * scale)
  const pen = canvas.getContext("2d")
  pen.scale(scale, scale)
  pen.textBaseline = "middle"
  pen.font = FONT
  return pen
}

// Return colours by the names of the variables of the stylesheet, which a canvas does not know.
export function readColours(names) {
  const probe = document.createElement("span")
  document.body.append(probe)
  const found = {}
  for (const name of names) {
    probe.style.color = `var(--${name})`
    found[name] = getComputedStyle(probe).color
  }
  probe.remove()
  return found
}

export function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text
  let length = text.length
  while (length > 0 && pen.measureText(`${text.slice(0, length)}…`).width > width) length--
  return `${text.slice(0, length)}…`
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds * 10) / 10} s`
  return seconds < 5400 ? `${Math.round(seconds / 6) / 10} min` : `${Math.round(seconds / 360) / 10} h`
}

// Call `paint` now, and again when the width or the theme has changed.
export function keepPainted(element, paint) {
  let waiting = 0
  const later = () => { waiting ||= requestAnimationFrame(() => { waiting = 0; paint() }) }
  new ResizeObserver(later).observe(element)
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later)
  return later
}

// Fill a list with the meaning of colours.
export function explain(list, meanings) {
  for (const [text, colour] of meanings) {
    const item = document.createElement("li"), mark = document.createElement("i")
    mark.style.background = `var(--${colour})`
    item.append(mark, text)
    list.append(item)
  }
}
