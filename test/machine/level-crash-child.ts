/**
 * The process that level-crash.test.ts kills: applies the log of a seed to a LevelDB, a checkpoint now and then,
 * and prints `applied checkpoint` after each step. Arguments: folder, seed.
 */
import { writeSync } from 'node:fs'
import { entryAt, openSmall } from './level-crash-log.js'

const [dir, seed] = [process.argv[2]!, Number(process.argv[3])]
const machine = await openSmall(dir)
let checkpointing: Promise<unknown> = Promise.resolve()
for (let step = 0; ; step++) {
  const first = machine.appliedIndex + 1
  await machine.apply(Array.from({ length: 1 + (step % 4) }, (_, i) => entryAt(seed, first + i)))
  if (step % 40 === 39) {
    await checkpointing
    checkpointing = machine.checkpoint()
  }
  writeSync(1, `${machine.appliedIndex} ${machine.checkpointIndex}\n`)
}
