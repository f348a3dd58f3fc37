// A list of any number of rows, of which only those near the screen are in the page.
//
// The rows stand in a window that does not move; the scrollbar only says where in the list it is. So no element is
// higher than browsers allow, rows may have any height, and nothing moves while rows are added at the end.
export const LINE = 20 // pixels of a row that is not wrapped
const TALLEST = 8_000_000 // pixels of the scrolled area: Firefox draws no element above 17.9 million
const MOST = 100 // rows in the page
const MARGIN = 10 // rows above and below the visible ones
const JUMP = 3 // screens: a greater move is one of the scrollbar's thumb
const REST_MS = 150

export class Rows {
  // `options`: count() returns the number of rows; draw(element, row) fills an element, also again;
  // moved({first, last, jumped}) is called when the visible rows have changed; unpinned() when the reader scrolls up.
  constructor(box, options) {
    this.box = box
    this.options = options
    this.top = { row: 0, dy: 0 } // the row at the upper edge, and how many of its pixels are above it
    this.pinned = false // whether the end of the list stays at the lower edge
    this.wrapped = false
    this.drawn = new Map()
    this.scrolled = 0
    this.jumped = false
    this.space = add(box, "space")
    this.window = add(this.space, "window")
    this.list = add(this.window, "list")
    box.addEventListener("scroll", () => this.#scroll(), { passive: true })
    new ResizeObserver(() => this.resize()).observe(box)
  }

  get height() { // never more than the screen, whatever a stylesheet says: a box as high as its content would draw all
    return Math.min(this.box.clientHeight, innerHeight, (MOST - 4) * LINE)
  }

  get seen() {
    return Math.ceil(this.height / LINE) + 1
  }

  resize() {
    this.window.style.height = `${this.height}px`
    this.#sync()
    this.paint()
  }

  // Show rows again whose content has changed; all rows are others if `anew`.
  refresh(anew = false) {
    if (anew) {
      for (const element of this.drawn.values()) element.remove()
      this.drawn.clear()
    }
    this.#sync()
    this.paint()
  }

  wrap(on) {
    this.wrapped = on
    this.box.classList.toggle("wrapped", on)
    this.refresh()
  }

  // Move a row into view, to the upper third.
  goTo(row, { third = true } = {}) {
    this.pinned = false
    this.jumped = false
    this.top = { row: Math.max(0, row - (third ? Math.floor(this.height / LINE / 3) : 0)), dy: 0 }
    this.refresh()
  }

  pin(on) {
    this.pinned = on
    this.refresh()
  }

  paint() {
    this.waiting ||= requestAnimationFrame(() => this.#paint())
  }

  #paint() {
    this.waiting = 0
    const total = this.options.count(), seen = this.seen
    const margin = Math.max(0, Math.min(MARGIN, Math.floor((MOST - seen) / 2)))
    if (this.pinned) this.top = { row: Math.max(0, total - seen), dy: 0 }
    this.top.row = Math.max(0, Math.min(this.top.row, total - 1))
    const first = Math.max(0, this.top.row - margin), last = Math.min(total, this.top.row + seen + margin)
    for (const [row, element] of this.drawn) {
      if (row >= first && row < last) continue
      element.remove()
      this.drawn.delete(row)
    }
    let next = this.list.firstChild
    for (let row = first; row < last; row++) {
      let element = this.drawn.get(row)
      if (!element) {
        element = document.createElement("div")
        element.className = "row"
        this.drawn.set(row, element)
        this.list.insertBefore(element, next)
      }
      this.options.draw(element, row)
      next = element.nextSibling
    }
    this.#place(first, last, total)
    this.options.moved({ first: this.top.row, last: Math.min(total, this.top.row + seen), jumped: this.jumped })
  }

  // Put the list where the row at the top, or at the end the last row, is where it should be.
  #place(first, last, total) {
    let offset = (this.drawn.get(this.top.row)?.offsetTop ?? 0) + this.top.dy
    if (last === total) {
      const end = Math.max(0, this.list.offsetHeight - this.height)
      if (this.pinned || offset > end) {
        offset = end
        this.top = this.#at(offset)
      }
    }
    this.list.style.transform = `translateY(${-offset}px)`
  }

  // Return which row is at an offset in the list.
  #at(offset) {
    let best = null
    for (const [row, element] of this.drawn) if (element.offsetTop <= offset && (best === null || row > best)) best = row
    return best === null ? { ...this.top } : { row: best, dy: offset - this.drawn.get(best).offsetTop }
  }

  get #tall() {
    return Math.max(this.height, Math.min(TALLEST, this.options.count() * LINE))
  }

  get #range() { // of rows at the top
    return Math.max(1, this.options.count() - this.height / LINE)
  }

  // Show in the scrollbar where the list is.
  #sync() {
    this.space.style.height = `${this.#tall}px`
    const share = this.pinned ? 1 : Math.min(1, (this.top.row + Math.min(1, this.top.dy / LINE)) / this.#range)
    const wanted = Math.round(share * (this.#tall - this.height))
    if (Math.abs(this.box.scrollTop - wanted) > 1) this.box.scrollTop = wanted
    this.scrolled = this.box.scrollTop
  }

  #scroll() {
    const now = this.box.scrollTop, by = now - this.scrolled, most = this.#tall - this.height
    if (Math.abs(by) < 1) return
    this.scrolled = now
    if (this.pinned && by < 0) {
      this.pinned = false
      this.options.unpinned()
    }
    if (this.pinned) return
    this.jumped = Math.abs(by) > JUMP * this.height
    if (this.jumped) {
      const at = (now / Math.max(1, most)) * this.#range
      this.top = { row: Math.floor(at), dy: (at % 1) * LINE }
    } else this.#move(by)
    clearTimeout(this.resting)
    this.resting = setTimeout(() => this.#rest(), REST_MS)
    const isOff = (now <= 0 && (this.top.row || this.top.dy)) || (now >= most && this.top.row < this.#range - 1)
    if (isOff) this.#sync() // the scrollbar is at its end, the list is not: give it room
    this.paint()
  }

  #rest() {
    this.jumped = false
    this.#sync()
    this.paint()
  }

  // Move by pixels, exactly.
  #move(by) {
    const element = this.wrapped ? this.drawn.get(this.top.row) : null
    if (!element) {
      const at = Math.max(0, this.top.row * LINE + this.top.dy + by)
      this.top = { row: Math.floor(at / LINE), dy: at % LINE }
      return
    }
    const offset = element.offsetTop + this.top.dy + by, end = this.list.offsetHeight
    const [least] = [...this.drawn.keys()].sort((a, b) => a - b)
    if (offset < 0) this.top = { row: Math.max(0, least + Math.floor(offset / LINE)), dy: 0 }
    else if (offset > end) this.top = { row: least + this.drawn.size + Math.floor((offset - end) / LINE), dy: 0 }
    else this.top = this.#at(offset)
  }
}

function add(parent, name) {
  const made = document.createElement("div")
  made.className = name
  parent.append(made)
  return made
}
