// The lines of a log that the page has read: those near the visible ones, in chunks.
import { ask } from "./ask.js"

const CHUNK = 500
const KEPT = 40 // chunks: 20,000 lines
const FLIGHT_MS = 60 // what the scrollbar's thumb flies over is not read

export class Lines {
  // `address` is that of the lines; `log` has count() and number(row); `changed` is called when lines have arrived.
  constructor(address, log, changed) {
    this.address = address
    this.log = log
    this.changed = changed
    this.conditions = ""
    this.chunks = new Map() // by number, the least recently used first
  }

  // Forget all lines, and read those that meet other conditions: a query, empty for all lines.
  reset(conditions) {
    for (const chunk of this.chunks.values()) chunk.stop?.abort()
    this.chunks.clear()
    this.conditions = conditions
  }

  // Return a line; undefined if it was not read; null if the log does not have it, because its middle is left out.
  at(row) {
    const chunk = this.chunks.get(Math.floor(row / CHUNK))
    const line = chunk?.lines[row % CHUNK]
    return line ?? (chunk?.until > row ? null : undefined)
  }

  // Read the rows from `first` to `last` and the next ones, unless they were read.
  want({ first, last, jumped }) {
    clearTimeout(this.flying)
    const total = this.log.count(), missing = []
    if (!total) return
    const begin = Math.floor(first / CHUNK), end = Math.floor(Math.min(total - 1, last + CHUNK / 2) / CHUNK)
    for (let number = begin; number <= end; number++) {
      const chunk = this.chunks.get(number)
      if (chunk) {
        this.chunks.delete(number)
        this.chunks.set(number, chunk)
      }
      if (!chunk || (!chunk.stop && chunk.until < Math.min(total, (number + 1) * CHUNK) && !this.#isFull(number, chunk))) missing.push(number)
    }
    for (const [number, chunk] of this.chunks) {
      if (!chunk.stop || (number >= begin && number <= end)) continue
      chunk.stop.abort()
      this.chunks.delete(number)
    }
    const read = () => missing.forEach((number) => this.#read(number))
    if (jumped) this.flying = setTimeout(read, FLIGHT_MS)
    else read()
  }

  // Add a line that was written just now.
  add(line) {
    const number = Math.floor((line.seq - 1) / CHUNK), place = (line.seq - 1) % CHUNK
    let chunk = this.chunks.get(number)
    if (!chunk && place === 0) this.#keep(number, (chunk = { lines: [], until: number * CHUNK, stop: null }))
    if (!chunk) return // it is read when it is looked at
    chunk.lines[place] = line
    if (chunk.until === line.seq - 1) chunk.until = line.seq
  }

  #isFull(number, chunk) {
    const rows = Math.min(CHUNK, this.log.count() - number * CHUNK)
    for (let place = chunk.until - number * CHUNK; place < rows; place++) if (!chunk.lines[place]) return false
    return true
  }

  async #read(number) {
    const before = this.chunks.get(number)
    if (before?.stop) return
    const stop = new AbortController(), until = Math.min(this.log.count(), (number + 1) * CHUNK)
    const chunk = { lines: before?.lines ?? [], until: before?.until ?? number * CHUNK, stop }
    this.#keep(number, chunk)
    const range = `from=${this.log.number(number * CHUNK)}&to=${this.log.number(until - 1)}`
    try {
      const response = await ask(`${this.address}?format=ndjson&follow=false&${range}${this.conditions}`, { signal: stop.signal })
      const found = (await response.text()).split("\n").filter(Boolean).map((text) => JSON.parse(text))
      found.forEach((line, place) => { chunk.lines[this.conditions ? place : line.seq - 1 - number * CHUNK] = line })
      chunk.until = until
      chunk.stop = null
      this.changed()
    } catch (error) {
      if (this.chunks.get(number) === chunk) this.chunks.delete(number)
      if (error.name !== "AbortError") this.changed(error.message)
    }
  }

  #keep(number, chunk) {
    this.chunks.set(number, chunk)
    while (this.chunks.size > KEPT) {
      const [oldest, old] = this.chunks.entries().next().value
      old.stop?.abort()
      this.chunks.delete(oldest)
    }
  }
}
