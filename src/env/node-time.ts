/** Time in production. Timers do not keep the process alive: a member does that by its open port. */
import type { Time, TimerHandle } from './time.js'

/** The clocks and timers of Node.js. */
export class NodeTime implements Time {
  now(): number {
    return performance.now()
  }

  wall(): number {
    return Date.now()
  }

  after(ms: number, callback: () => void): TimerHandle {
    return setTimeout(callback, ms).unref()
  }

  cancel(handle: TimerHandle): void {
    clearTimeout(handle as NodeJS.Timeout)
  }

  soon(callback: () => void): void {
    setImmediate(callback)
  }
}
