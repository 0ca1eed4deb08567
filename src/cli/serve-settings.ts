/** The settings of `quorate serve`: what a configuration file may say, and reading it. */
import { dirname, resolve } from 'node:path'
import type { OpenOptions } from '../index.js'
import { type GrantSetting, grantsIn } from './client-grants.js'
import { UsageError } from './command-line.js'
import { readText, type TlsFiles } from './protection.js'

/** Options of Store.open that are settings as they are. */
type Tuning = Pick<OpenOptions, 'strongReads' | 'timing' | 'limits' | 'storage' | 'erasure'>

const TUNING: readonly (keyof Tuning)[] = ['strongReads', 'timing', 'limits', 'storage', 'erasure']

/** The settings of a member as they come from flags or a file; files are named, not yet read. */
export interface ServeSettings extends Tuning {
  readonly dir?: string
  readonly id?: string
  readonly members?: Readonly<Record<string, string>>
  readonly cluster?: string
  readonly listen?: string
  readonly join?: readonly string[]
  readonly priority?: number
  /** The folder of storage.archive. */
  readonly archive?: string
  readonly tls?: TlsFiles
  readonly secretFile?: string
  readonly clients?: readonly GrantSetting[]
  readonly http?: string
}

/** Reads and checks a configuration file: known names, text where text belongs; paths become absolute. */
export async function readConfig(path: string): Promise<ServeSettings> {
  const config = requireObject(path, parseJson(path, await readText(path)))
  const names = [
    'dir',
    'id',
    'members',
    'cluster',
    'listen',
    'join',
    'priority',
    'archive',
    'http',
    'tls',
    'secretFile',
    'clients',
    ...TUNING,
  ]
  for (const name of Object.keys(config)) {
    if (!names.includes(name)) {
      throw new UsageError(`${path}: no setting '${name}'; there are ${names.join(', ')}`)
    }
  }
  const tuning: Tuning = Object.fromEntries(
    TUNING.filter((name) => name in config).map((name) => [name, config[name]]),
  )
  if (tuning.storage !== undefined) requireObject(path, tuning.storage)
  for (const name of TUNING) delete config[name]
  const { members, tls, join, priority, clients, ...texts } = config
  const fromHere = (file: string): string => resolve(dirname(path), file)
  const { dir, secretFile, archive, ...plain } = requireTexts(path, texts)
  const files = tls === undefined ? undefined : requireTexts(path, requireObject(path, tls))
  return {
    ...plain,
    // What they may contain is checked by Store.open, whose options they are.
    ...tuning,
    ...(dir === undefined ? {} : { dir: fromHere(dir) }),
    ...(archive === undefined ? {} : { archive: fromHere(archive) }),
    ...(join === undefined ? {} : { join: requireList(path, 'join', join) }),
    ...(priority === undefined ? {} : { priority: requireNumber(path, 'priority', priority) }),
    ...(members === undefined ? {} : { members: requireTexts(path, requireObject(path, members)) }),
    ...(secretFile === undefined ? {} : { secretFile: fromHere(secretFile) }),
    ...(files === undefined ? {} : { tls: tlsFiles(path, files, fromHere) }),
    ...(clients === undefined ? {} : { clients: grantsIn(path, clients, fromHere) }),
  }
}

function tlsFiles(
  path: string,
  { cert, key, ca, ...others }: Record<string, string>,
  fromHere: (file: string) => string,
): { cert: string; key: string; ca: string } {
  if (
    cert === undefined ||
    key === undefined ||
    ca === undefined ||
    Object.keys(others).length > 0
  ) {
    throw new UsageError(`${path}: tls has cert, key and ca, all three and nothing else`)
  }
  return { cert: fromHere(cert), key: fromHere(key), ca: fromHere(ca) }
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new UsageError(`${path} is not JSON: ${(error as Error).message}`, { cause: error })
  }
}

function requireObject(path: string, value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw new UsageError(`${path}: an object is wanted, not ${JSON.stringify(value)}`)
}

function requireList(path: string, name: string, value: unknown): readonly string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  throw new UsageError(`${path}: ${name} is a list of texts`)
}

function requireNumber(path: string, name: string, value: unknown): number {
  if (typeof value === 'number') return value
  throw new UsageError(`${path}: ${name} is a number`)
}

function requireTexts(path: string, values: Record<string, unknown>): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== 'string') throw new UsageError(`${path}: ${name} is a text`)
    texts[name] = value
  }
  return texts
}
