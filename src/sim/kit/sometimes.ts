/**
 * Coverage of what should happen now and then: a property that is checked in runs in which nothing interesting
 * happens proves nothing.
 */

/** Notes whether `condition` held; `name` is the same sentence each time. */
export interface Sometimes {
  (name: string, condition: boolean): void
  /** The sentences that never held. */
  missing(): string[]
  /** @throws {Error} naming the sentences that never held */
  assertAll(): void
}

/** Begins a coverage of its own. */
export function sometimes(): Sometimes {
  const held = new Map<string, boolean>()
  const note = (name: string, condition: boolean): void => {
    held.set(name, condition || held.get(name) === true)
  }
  const missing = () => [...held].filter(([, isHeld]) => !isHeld).map(([name]) => name)
  const assertAll = () => {
    const never = missing()
    if (never.length > 0) throw new Error(`never happened: ${never.join('; ')}`)
  }
  return Object.assign(note, { missing, assertAll })
}
