/**
 * What a user would run instead, where it is there. None of it is a dependency of the package: programs are looked
 * for on the PATH, packages in the folder that QUORATE_BENCH_PEERS names, here, and among npm's global ones.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { unreachable } from '../src/base/assert.js'

/** The other systems. */
export const PEERS = ['classic-level', 'lmdb', 'redis', 'etcd'] as const

/** One of them. */
export type PeerName = (typeof PEERS)[number]

/** How to get what is missing. */
const HOW: Readonly<Record<PeerName, string>> = {
  'classic-level': 'it comes with quorate',
  lmdb: 'npm install lmdb in some folder, and name it in QUORATE_BENCH_PEERS',
  redis: 'install the program redis-server (apt-get install redis-server)',
  etcd:
    'install the program etcd (apt-get install etcd-server), npm install etcd3 in some folder, ' +
    'and name it in QUORATE_BENCH_PEERS',
}

/** Undefined when the peer can be run here, else what is missing and how to get it. */
export function whatIsMissing(peer: PeerName): string | undefined {
  const missing = {
    'classic-level': () => undefined,
    lmdb: () => (findPackage('lmdb') === undefined ? 'the package lmdb' : undefined),
    redis: () => (isOnPath('redis-server') ? undefined : 'redis-server'),
    etcd: () => {
      if (!isOnPath('etcd')) return 'the program etcd'
      return findPackage('etcd3') === undefined ? 'the package etcd3' : undefined
    },
  }[peer]()
  return missing === undefined ? undefined : `${missing} was not found; ${HOW[peer]}`
}

/** What it is that is compared with; asks the programs themselves. */
export function versionOf(peer: PeerName): string {
  switch (peer) {
    case 'classic-level':
      return packageVersion('classic-level')
    case 'lmdb':
      return packageVersion('lmdb')
    case 'redis':
      return firstVersion(['redis-server', '--version'])
    case 'etcd':
      return `${firstVersion(['etcd', '--version'])}, etcd3 ${packageVersion('etcd3')}`
    default:
      return unreachable(peer)
  }
}

function firstVersion([program, ...args]: readonly [string, ...string[]]): string {
  const { stdout } = spawnSync(program, args, { encoding: 'utf8' })
  return /\d+\.\d+\.\d+/.exec(stdout ?? '')?.[0] ?? 'of an unknown version'
}

function packageVersion(name: string): string {
  // Its entry point lies somewhere below the folder that has its name.
  const path = findPackage(name) ?? ''
  const end = path.lastIndexOf(join('node_modules', name)) + join('node_modules', name).length
  try {
    const manifest = readFileSync(join(path.slice(0, end), 'package.json'), 'utf8')
    return (JSON.parse(manifest) as { version: string }).version
  } catch {
    return 'of an unknown version'
  }
}

/** Loads a package that is installed somewhere; what it exports, to be checked by use. */
export async function loadPackage(name: string): Promise<unknown> {
  const path = findPackage(name)
  if (path === undefined) throw new Error(`the package ${name} is not installed`)
  return import(pathToFileURL(path).href)
}

function findPackage(name: string): string | undefined {
  for (const folder of folders()) {
    try {
      return createRequire(join(folder, 'package.json')).resolve(name)
    } catch {
      // Not in this one.
    }
  }
  return undefined
}

function folders(): string[] {
  const named = process.env.QUORATE_BENCH_PEERS
  const global = spawnSync('npm', ['root', '-g'], { encoding: 'utf8' }).stdout?.trim()
  return [
    ...(named === undefined || named === '' ? [] : [named]),
    process.cwd(),
    import.meta.dirname,
    ...(global === undefined || global === '' ? [] : [join(global, '..')]),
  ]
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((dir) => existsSync(join(dir, program)))
}
