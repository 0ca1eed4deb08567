/**
 * Builds the addon with the compiler that is there, or says in one line that it does not. Never fails `npm install`.
 *
 *   node native/build.mjs              into native/build/Release, unless it is newer than its sources
 *   node native/build.mjs --required   the same, anew; fails when it cannot be built
 *   node native/build.mjs --prebuild   into native/prebuilds/PLATFORM-ARCH, for a package to be published;
 *                                      --prebuild=linux-arm64 for another one, with CXX a cross compiler
 *
 * CXX names the compiler and CXXFLAGS adds to its flags: `CXXFLAGS=-DQUORATE_NO_PSHUFB` leaves the kernels out
 * that look products up by PSHUFB or TBL. Node's headers come with Node, or from npm's `nodedir`, or from what
 * node-gyp has fetched before; nothing is downloaded. On Windows: `npx node-gyp rebuild --directory native`.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { COMPILER, FLAGS, NATIVE, run, sources } from './compiler.mjs'

const { CXX, CXXFLAGS = '', XDG_CACHE_HOME, npm_config_nodedir: nodedir } = process.env

/** The folder with node_api.h; undefined when there is none. */
function headers() {
  const { node } = process.versions
  return [
    join(dirname(process.execPath), '../include/node'),
    ...(nodedir ? [join(nodedir, 'include/node'), join(nodedir, 'src')] : []),
    join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'node-gyp', node, 'include/node'),
    join(homedir(), 'Library/Caches/node-gyp', node, 'include/node'),
  ].find((folder) => existsSync(join(folder, 'node_api.h')))
}

function isFresh(file) {
  if (!existsSync(file) || CXX || CXXFLAGS) return false
  const built = statSync(file).mtimeMs
  return readdirSync(NATIVE, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .every(({ name }) => statSync(join(NATIVE, name)).mtimeMs < built)
}

/** Compiles beside an older addon and renames: a process that has that one loaded keeps it. */
async function build(target) {
  const include = headers()
  if (include === undefined) return 'there are no headers of Node'
  mkdirSync(target, { recursive: true })
  const room = mkdtempSync(join(target, 'building-'))
  try {
    const fault = await compile(include, room)
    if (fault === undefined) renameSync(join(room, 'erasure.node'), join(target, 'erasure.node'))
    return fault
  } finally {
    rmSync(room, { recursive: true })
  }
}

async function compile(include, room) {
  const flags = [...FLAGS, `-I${include}`, ...CXXFLAGS.split(' ').filter((flag) => flag !== '')]
  const objectOf = (source) => join(room, `${source}.o`)
  const faults = await Promise.all(
    sources().map((each) =>
      run(COMPILER, [...flags, '-c', join(NATIVE, each), '-o', objectOf(each)]),
    ),
  )
  const fault = faults.find((each) => each !== undefined)
  if (fault !== undefined) return fault
  const link =
    process.platform === 'darwin'
      ? ['-bundle', '-undefined', 'dynamic_lookup']
      : ['-shared', '-Wl,--as-needed', '-s']
  return run(COMPILER, [...link, ...sources().map(objectOf), '-o', join(room, 'erasure.node')])
}

async function main(args) {
  const { platform, arch } = process
  const prebuild = args.find((each) => each.startsWith('--prebuild'))
  const isRequired = prebuild !== undefined || args.includes('--required')
  const name = prebuild?.split('=')[1] ?? `${platform}-${arch}`
  const target = join(NATIVE, prebuild === undefined ? 'build/Release' : `prebuilds/${name}`)
  if (!isRequired && isFresh(join(target, 'erasure.node'))) return
  const fault =
    platform === 'win32'
      ? 'on Windows run: npx node-gyp rebuild --directory native'
      : await build(target)
  if (fault === undefined) return
  const [first, ...rest] = fault.split('\n')
  console.log(
    `quorate: the native erasure codec is not built, WebAssembly serves instead: ${first}`,
  )
  if (!isRequired) return
  console.error(rest.join('\n'))
  process.exitCode = 1
}

await main(process.argv.slice(2))
