/**
 * Keeps the real world out of a simulation: while the seal is on, every function of Node that would let in time,
 * chance or I/O throws, and who called it is told.
 *
 * It replaces globals and the functions of built-in modules for the whole process, so that nothing else may run in
 * it meanwhile.
 */
import childProcess from 'node:child_process'
import crypto from 'node:crypto'
import dgram from 'node:dgram'
import dns from 'node:dns'
import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import timers from 'node:timers'
import timersPromises from 'node:timers/promises'
import tls from 'node:tls'

/** What may stay open: runs on real files need those. */
export type Opening = 'none' | 'files'

type Functions = Record<string, unknown>

interface Leak {
  readonly owner: Functions
  readonly name: string
  readonly title: string
}

const GLOBALS = [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'fetch',
  'WebSocket',
  'WeakRef',
  'FinalizationRegistry',
] as const
const CHANCE = [
  'randomBytes',
  'randomFill',
  'randomFillSync',
  'randomInt',
  'randomUUID',
  'generateKeyPairSync',
  'generateKeySync',
] as const

/**
 * Puts the seal on; call what it returns to take it off.
 * @param onLeak is told the name of each function that was called, before it throws
 */
export function seal(opening: Opening, onLeak: (name: string) => void): () => void {
  const undo = [...leaks(opening)].map((leak) => replace(leak, onLeak))
  // A lock file says since when it is held.
  if (opening === 'none') undo.push(sealDate(onLeak))
  syncBuiltinESMExports()
  return () => {
    for (const restore of undo) restore()
    syncBuiltinESMExports()
  }
}

function* leaks(opening: Opening): Generator<Leak> {
  const global = globalThis as unknown as Functions
  for (const name of GLOBALS) if (name in global) yield { owner: global, name, title: name }
  yield { owner: Math as unknown as Functions, name: 'random', title: 'Math.random' }
  yield { owner: functionsOf(performance), name: 'now', title: 'performance.now' }
  yield { owner: functionsOf(process), name: 'hrtime', title: 'process.hrtime' }
  yield { owner: functionsOf(AbortSignal), name: 'timeout', title: 'AbortSignal.timeout' }
  yield { owner: functionsOf(globalThis.crypto), name: 'getRandomValues', title: 'getRandomValues' }
  yield { owner: functionsOf(globalThis.crypto), name: 'randomUUID', title: 'randomUUID' }
  for (const name of CHANCE) yield { owner: functionsOf(crypto), name, title: `crypto.${name}` }
  const modules: [string, object][] = [
    ['child_process', childProcess],
    ['dgram', dgram],
    ['dns', dns],
    ['http', http],
    ['https', https],
    ['net', net],
    ['tls', tls],
  ]
  if (opening === 'none') {
    modules.push(['fs', fs], ['fs.promises', fs.promises])
    modules.push(['timers', timers], ['timers.promises', timersPromises])
  }
  for (const [title, module] of modules) yield* functionsIn(title, functionsOf(module))
}

function* functionsIn(title: string, owner: Functions): Generator<Leak> {
  for (const [name, value] of Object.entries(owner)) {
    const isFunction = typeof value === 'function' && /^[a-z]/.test(name)
    // Ending a timer and looking at an address let nothing in.
    if (isFunction && !/^(?:clear|isIP)/.test(name))
      yield { owner, name, title: `${title}.${name}` }
  }
}

function functionsOf(owner: object): Functions {
  return owner as Functions
}

function replace({ owner, name, title }: Leak, onLeak: (name: string) => void): () => void {
  const before = Object.getOwnPropertyDescriptor(owner, name)
  const value = () => {
    onLeak(title)
    throw new Error(`${title} was called inside a simulation`)
  }
  Object.defineProperty(owner, name, { value, configurable: true, writable: true })
  return () => {
    if (before === undefined) Reflect.deleteProperty(owner, name)
    else Object.defineProperty(owner, name, before)
  }
}

/** Dates stay values; what they may not do is to tell the time. */
function sealDate(onLeak: (name: string) => void): () => void {
  const before = globalThis.Date
  const refuse = (): never => {
    onLeak('Date')
    throw new Error('the time was asked for inside a simulation')
  }
  globalThis.Date = new Proxy(before, {
    apply: refuse,
    construct: (target, args: unknown[], newTarget) =>
      args.length === 0 ? refuse() : (Reflect.construct(target, args, newTarget) as object),
    get: (target, name, receiver) =>
      name === 'now' ? refuse : (Reflect.get(target, name, receiver) as unknown),
  })
  return () => {
    globalThis.Date = before
  }
}
