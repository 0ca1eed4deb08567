/**
 * The suite `level`: abstract-level's own tests, from the installed package, on databases of a running cluster.
 *
 * Every test asks for new, empty databases, nearly a thousand in all: each is a part of one long-lived Store, kept
 * apart by its prefix.
 */
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { LevelOptions } from '../../../src/level.js'
import { LevelCluster } from './cluster.js'
import { RoamingLevel } from './roaming-level.js'
import { type DeclareTest, Tape } from './tape.js'

type Factory = (options?: Pick<LevelOptions, 'keyEncoding' | 'valueEncoding'>) => unknown

type LevelSuite = (options: { test: DeclareTest; factory: Factory }) => void

/** Where the databases are, and how they read. */
export interface Combination {
  readonly name: string
  level(cluster: LevelCluster, options: LevelOptions): unknown
}

/** All that are run. */
export const COMBINATIONS: readonly Combination[] = [
  at('leader', 'eventual'),
  at('leader', 'session'),
  at('leader', 'strong'),
  at('follower', 'session'),
  at('follower', 'strong'),
  at('client', 'session'),
  at('client', 'strong'),
  {
    name: 'another member for each operation, session',
    level: ({ stores }, { keyEncoding, valueEncoding, open, prefix = '' }) => {
      const levels = stores.map((store) => store.level({ prefix, consistency: 'session' }))
      return new RoamingLevel(levels, { ...open, keyEncoding, valueEncoding })
    },
  },
]
const FAILURES_SHOWN = 20
/** The suite has about 4,700 per combination: with fewer it has not really run. */
const ASSERTIONS_MIN = 4500

/** Runs the suite in `directory` over all combinations; whether everything passed. */
export function runLevel(directory: string, print: (line: string) => void): Promise<boolean> {
  return runCombinations(directory, COMBINATIONS, print)
}

/** The same over some. */
export async function runCombinations(
  directory: string,
  combinations: readonly Combination[],
  print: (line: string) => void,
): Promise<boolean> {
  const suite: LevelSuite = createRequire(import.meta.url)(resolve(directory))
  const cluster = await LevelCluster.open()
  let isPassed = true
  try {
    for (const combination of combinations) {
      if (!(await passes(suite, cluster, combination, print))) isPassed = false
    }
  } finally {
    await cluster.close()
  }
  return isPassed
}

function at(
  role: 'leader' | 'follower' | 'client',
  consistency: 'strong' | 'session' | 'eventual',
): Combination {
  return {
    name: `${role}, ${consistency}`,
    level: (cluster, options) => cluster[role].level({ ...options, consistency }),
  }
}

async function passes(
  suite: LevelSuite,
  cluster: LevelCluster,
  { name, level }: Combination,
  print: (line: string) => void,
): Promise<boolean> {
  const tape = new Tape()
  let count = 0
  // Options that only hooks know are refused by `store.level`, unless they are said to be that.
  const factory: Factory = ({ keyEncoding, valueEncoding, ...open } = {}) =>
    level(cluster, {
      ...(keyEncoding !== undefined && { keyEncoding }),
      ...(valueEncoding !== undefined && { valueEncoding }),
      open,
      prefix: `${name} ${count++}:`,
    })
  suite({ test: tape.test, factory })
  const start = performance.now()
  const { tests, assertions, failures } = await tape.run()
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  const passed = `${assertions - failures.length} assertions passed, ${failures.length} failed`
  print(`${name}: ${passed} (${tests} tests, ${count} databases, ${seconds} s)`)
  for (const failure of failures.slice(0, FAILURES_SHOWN)) print(`  ${failure}`)
  return failures.length === 0 && assertions >= ASSERTIONS_MIN
}
