/**
 * Runs a conformance suite: other projects' test data against this code.
 *
 *   node dist/test/conformance/run.js SUITE [--dir PATH]
 *
 * The data is not part of this repository: it is looked for in PATH, else in `$QUORATE_TESTDATA/SUITE`, else in
 * `../shared/testdata/SUITE`; that of `erasure` is one file in the folder itself, that of `level` a part of an
 * installed package. Exit code 0 when all passed or the data is absent (which is said), 1 on failure, 2 on misuse.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { runErasure } from './erasure/suite.js'
import { runEtcdRaft } from './etcd-raft/run.js'
import { runHistories } from './histories/suite.js'
import { runLevel } from './level/suite.js'

/** Runs one suite on the data in `directory`, reports to `print` and says whether everything passed. */
export type Suite = (directory: string, print: (line: string) => void) => boolean | Promise<boolean>

const suites: Readonly<Record<string, Suite>> = {
  'etcd-raft': runEtcdRaft,
  histories: runHistories,
  erasure: runErasure,
  level: runLevel,
}

/** Where the data of `suite` is expected when no directory is given. */
export function defaultDirectory(suite: string): string {
  if (suite === 'level') return join('node_modules', 'abstract-level', 'test')
  const root = process.env.QUORATE_TESTDATA ?? join('..', 'shared', 'testdata')
  return suite === 'erasure' ? root : join(root, suite)
}

async function main(args: readonly string[]): Promise<number> {
  const [name, flag, path] = args
  const suite = suites[name ?? '']
  if (name === undefined || suite === undefined || (flag !== undefined && flag !== '--dir')) {
    console.error(`usage: run.js ${Object.keys(suites).join(' | ')} [--dir PATH]`)
    return 2
  }
  const directory = path ?? defaultDirectory(name)
  if (!existsSync(directory)) {
    console.log(`SKIPPED ${name}: there is no ${directory}`)
    return 0
  }
  return (await suite(directory, console.log)) ? 0 : 1
}

if (process.argv[1] === import.meta.filename) {
  process.exitCode = await main(process.argv.slice(2))
}
