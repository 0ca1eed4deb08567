/** A child process that answers calls over IPC: both sides. What is sent is plain data; both are the same program. */
import { type ChildProcess, fork } from 'node:child_process'

/** What a child can be asked, by name. */
export type ChildOperations = Readonly<Record<string, (request: never) => Promise<unknown>>>

interface Request {
  readonly id: number
  readonly operation: string
  readonly request: unknown
}

interface Response {
  readonly id: number
  readonly result?: unknown
  readonly error?: string
}

interface Pending {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** The parent's side. End it, or its process stays as long as this one. */
export class Child<O extends object> {
  readonly #process: ChildProcess
  readonly #pending = new Map<number, Pending>()
  #calls = 0

  /** @param script the path of a program that calls `serveParent` */
  constructor(script: string) {
    this.#process = fork(script, { serialization: 'advanced', stdio: ['ignore', 2, 2, 'ipc'] })
    this.#process.on('message', ({ id, result, error }: Response) => {
      const pending = this.#pending.get(id)
      this.#pending.delete(id)
      if (error === undefined) pending?.resolve(result)
      else pending?.reject(new Error(`a child process failed: ${error}`))
    })
    this.#process.on('exit', () => {
      for (const { reject } of this.#pending.values()) reject(new Error('a child has ended'))
      this.#pending.clear()
    })
  }

  call<K extends keyof O & string>(
    operation: K,
    request: O[K] extends (request: infer R) => unknown ? R : never,
  ): O[K] extends (request: never) => infer A ? A : never {
    const answer = new Promise<unknown>((resolve, reject) => {
      const id = this.#calls++
      this.#pending.set(id, { resolve, reject })
      const message: Request = { id, operation, request }
      this.#process.send(message, (error) => {
        if (error === null) return
        this.#pending.delete(id)
        reject(error)
      })
    })
    // The child is the same program: what it answers is what the operation's type says.
    return answer as never
  }

  end(): void {
    this.#process.kill('SIGKILL')
  }
}

/** The child's side: serves its parent until that is gone. Call it once. */
export function serveParent(operations: ChildOperations): void {
  process.on('message', ({ id, operation, request }: Request) => {
    operations[operation]!(request as never).then(
      (result) => process.send?.({ id, result }),
      (error: unknown) =>
        process.send?.({ id, error: error instanceof Error ? error.stack : String(error) }),
    )
  })
  process.on('disconnect', () => process.exit(0))
  // Ctrl-C reaches every process of the terminal: the parent decides what becomes of its children.
  process.on('SIGINT', () => {})
}
