/**
 * The parent's side of one member in a child process: starts it, calls it, stops it with signals.
 *
 * A call whose process dies is answered with QUORATE_STOPPED and outcome `unknown`, once, when the process
 * has ended. Calls to a process that has ended are refused with outcome `none`.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { type Outcome, StoreError, type StoreErrorCode } from '../../base/errors.js'
import type { OpenOptions } from '../../index.js'
import type { Failure, Operations, Request, Response } from './operations.js'

interface PendingCall {
  resolve(result: unknown): void
  reject(error: unknown): void
}

/** One child process. A new one is needed after it has ended. */
export class MemberChild<O extends Operations> {
  readonly #process: ChildProcess
  readonly #pending = new Map<number, PendingCall>()
  readonly #ended: Promise<void>
  #isAlive = true
  #isPaused = false
  #calls = 0

  /** Forks `script`, the path of a program that calls hostMember. */
  constructor(script: string) {
    const child = fork(script, { serialization: 'advanced', stdio: ['ignore', 2, 2, 'ipc'] })
    this.#process = child
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        this.#isAlive = false
        this.#abandonCalls()
        resolve()
      }
      child.on('exit', end)
      child.on('error', () => {
        // It could not be started; every other error is followed by `exit`.
        if (child.pid === undefined) end()
      })
    })
    child.on('message', (response: Response) => this.#settle(response))
  }

  /** Whether the process still runs (or is paused). */
  get isAlive(): boolean {
    return this.#isAlive
  }

  /** Whether it can answer calls now. */
  get isRunning(): boolean {
    return this.#isAlive && !this.#isPaused
  }

  /** Opens the child's store; resolves when it takes part. */
  async open(options: OpenOptions): Promise<void> {
    await this.#request('open', options)
  }

  /** Carries out one operation in the child. */
  async call<K extends keyof O & string>(
    operation: K,
    request: Parameters<O[K]>[1],
  ): Promise<Awaited<ReturnType<O[K]>>> {
    return (await this.#request(operation, request)) as Awaited<ReturnType<O[K]>>
  }

  /** Closes the store and ends the process in good order. */
  async close(): Promise<void> {
    await this.#request('close', undefined)
    this.#process.disconnect()
    await this.#ended
  }

  /** kill -9; resolves when the process has ended. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }

  /** SIGSTOP: the process stands still until `resume`, and nobody is told. */
  pause(): void {
    this.#isPaused = true
    this.#process.kill('SIGSTOP')
  }

  /** SIGCONT. */
  resume(): void {
    this.#isPaused = false
    this.#process.kill('SIGCONT')
  }

  #request(operation: string, request: unknown): Promise<unknown> {
    if (!this.#isAlive || !this.#process.connected) {
      const gone = new StoreError('QUORATE_STOPPED', 'the member process has ended', {
        retryable: true,
      })
      return Promise.reject(gone)
    }
    return new Promise((resolve, reject) => {
      const call = this.#calls++
      this.#pending.set(call, { resolve, reject })
      const message: Request = { call, operation, request }
      // A failure to send means that the process is ending: `exit` answers the call.
      this.#process.send(message, () => {})
    })
  }

  #settle({ call, result, failure }: Response): void {
    const pending = this.#pending.get(call)
    this.#pending.delete(call)
    if (failure === undefined) pending?.resolve(result)
    else pending?.reject(errorOf(failure))
  }

  #abandonCalls(): void {
    for (const { reject } of this.#pending.values()) {
      reject(
        new StoreError('QUORATE_STOPPED', 'the member process ended before it answered', {
          outcome: 'unknown',
          retryable: true,
        }),
      )
    }
    this.#pending.clear()
  }
}

function errorOf({ message, code, outcome, retryable }: Failure): Error {
  if (code === undefined) return new Error(message)
  return new StoreError(code as StoreErrorCode, message, {
    outcome: outcome as Outcome,
    retryable,
  })
}
