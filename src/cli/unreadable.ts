/** Large values that a new cluster knows of and cannot read, in words. */
import type { UnreadableValues } from '../blob/reseal.js'
import { describeKey } from './inspect/describe-command.js'
import { complain, count } from './terminal.js'

/** For JSON: keys in hexadecimal. */
export function plainOf({ count: total, keys }: UnreadableValues): unknown {
  return { count: total, keys: keys.map((key) => Buffer.from(key).toString('hex')) }
}

/** Says how many there are, and names some; nothing when there are none. */
export function complainOfUnreadable({ count: total, keys }: UnreadableValues): void {
  if (total === 0) return
  complain(
    `${count(total)} large values cannot be read: their bytes are not here. Delete them or write them anew, ` +
      'before other members are added.',
  )
  for (const key of keys) complain(`  ${describeKey(key)}`)
  if (total > keys.length) complain(`  and ${count(total - keys.length)} more`)
}
