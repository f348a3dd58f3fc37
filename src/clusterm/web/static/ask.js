// Requests of pages to their own service.
const PATIENCE = 5

// Return the response to a request. A busy service is asked again; without a session the page leads to the sign-in.
export async function ask(address, options = {}) {
  for (let tries = 0; ; tries++) {
    const response = await fetch(address, options)
    if (response.ok) return response
    if (response.status === 401) {
      location.reload()
      return new Promise(() => {})
    }
    if ((response.status !== 429 && response.status !== 503) || tries >= PATIENCE) throw new Error(await reason(response))
    await pause(1000 * (Number(response.headers.get("Retry-After")) || 1))
  }
}

export const pause = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds))

async function reason(response) {
  try {
    return (await response.json()).detail
  } catch { // it does not come from the service itself, but from a proxy
    return `the service answers ${response.status}`
  }
}
