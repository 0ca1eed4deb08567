/** The C++ compiler, for build.mjs and check.mjs. */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'

/** The folder of the sources. */
export const NATIVE = import.meta.dirname

/** The compiler, by the variable that names it everywhere. */
export const COMPILER = process.env.CXX || 'c++'

export const FLAGS = [
  ...['-std=c++17', '-O3', '-fPIC', '-fno-exceptions', '-fno-rtti', '-fvisibility=hidden'],
  // GCC 12 warns of its own headers, about registers that they leave undefined on purpose.
  ...['-Wall', '-Wextra', '-Wno-maybe-uninitialized'],
]

/** The sources below `native/`, which are all that the addon is made of. */
export function sources() {
  return readdirSync(NATIVE).filter((name) => name.endsWith('.cpp'))
}

/** Runs a compiler; undefined when it went well, else what it said. */
export function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    let words = ''
    child.stderr.on('data', (text) => {
      words += text
    })
    child.on('error', (error) => {
      resolve(error.code === 'ENOENT' ? `there is no ${command}` : error.message)
    })
    child.on('close', (code) => {
      resolve(code === 0 ? undefined : `${command} failed\n${words}`)
    })
  })
}
