/**
 * Runs etcd-io/raft's data-driven scripts: `quorum/`, `confchange/` and `interaction/` below a directory.
 *
 * Output must match byte for byte, but for lines that are only log messages of the original (INFO, DEBUG, WARN,
 * ERROR): those are left out on both sides.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Directive, parseScript } from './datadriven.js'
import { Environment } from './environment.js'
import { confChangeHandler, type Handler, quorumHandler } from './pure-suites.js'

/** The first command of a script whose output differs. */
export interface Difference {
  readonly line: number
  readonly command: string
  readonly expected: string
  readonly actual: string
}

/** The outcome of one script. */
export interface ScriptResult {
  readonly folder: string
  readonly file: string
  readonly commands: number
  readonly difference: Difference | undefined
}

const HANDLERS: Readonly<Record<string, () => Handler>> = {
  quorum: quorumHandler,
  confchange: confChangeHandler,
  interaction: () => {
    const environment = new Environment()
    return (directive) => environment.handle(directive)
  },
}

/** Runs every script below `directory`. */
export function runScripts(directory: string): ScriptResult[] {
  return Object.entries(HANDLERS).flatMap(([folder, handler]) => {
    const path = join(directory, folder)
    if (!existsSync(path)) return []
    return readdirSync(path)
      .filter((file) => file.endsWith('.txt'))
      .sort()
      .map((file) => runScript(folder, file, readFileSync(join(path, file), 'utf8'), handler()))
  })
}

/** Reports on every script below `directory`; true when all passed. */
export function runEtcdRaft(directory: string, print: (line: string) => void): boolean {
  const results = runScripts(directory)
  for (const folder of Object.keys(HANDLERS)) {
    const ofFolder = results.filter((result) => result.folder === folder)
    const failed = ofFolder.filter((result) => result.difference !== undefined)
    const commands = ofFolder.reduce((sum, result) => sum + result.commands, 0)
    const passed = ofFolder.length - failed.length
    print(`${folder}: ${passed} files passed, ${failed.length} failed, ${commands} commands`)
    for (const { file, difference } of failed) print(describeDifference(folder, file, difference!))
  }
  return results.length > 0 && results.every((result) => result.difference === undefined)
}

export function describeDifference(folder: string, file: string, difference: Difference): string {
  const { line, command, expected, actual } = difference
  return `${folder}/${file}:${line}: ${command}\n--- expected\n${expected}\n--- actual\n${actual}\n---`
}

function runScript(folder: string, file: string, text: string, handle: Handler): ScriptResult {
  const directives = parseScript(text)
  const difference = firstDifference(directives, handle)
  return { folder, file, commands: directives.length, difference }
}

function firstDifference(
  directives: readonly Directive[],
  handle: Handler,
): Difference | undefined {
  for (const directive of directives) {
    const actual = comparable(answer(directive, handle))
    const expected = comparable(directive.expected)
    if (actual !== expected) {
      return { line: directive.line, command: directive.command, expected, actual }
    }
  }
  return undefined
}

/** A core that throws fails its script, not the run. */
function answer(directive: Directive, handle: Handler): string {
  try {
    return handle(directive)
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
}

/** Without log messages; nothing left is the same as `ok`. */
function comparable(output: string): string {
  const lines = output.split('\n').filter((line) => !/^\s*(INFO|DEBUG|WARN|ERROR) /.test(line))
  const text = lines.join('\n')
  return text.trim() === '' ? 'ok' : text
}
