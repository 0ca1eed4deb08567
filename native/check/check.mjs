/**
 * `node native/check/check.mjs`: every kernel, byte by byte, between pages that nobody may touch.
 *
 * Kernels for processors that this one is not are run as far as the tools are there: those of AVX-512 and GFNI with
 * the instructions emulated in C by SIMDe (Debian: libsimde-dev), NEON by QEMU (qemu-user and
 * g++-aarch64-linux-gnu). What is missing is said. Exit code 1 when a kernel is wrong or does not compile.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { COMPILER, FLAGS, NATIVE, run, sources } from '../compiler.mjs'

const room = mkdtempSync(join(tmpdir(), 'quorate-check-'))
let failed = 0

const has = (command) => spawnSync(command, ['--version']).status === 0

/** The sources beside `check.cpp`, in a folder of their own where `changes` replace some. */
function copySources(name, changes) {
  const folder = mkdtempSync(join(room, `${name}-`))
  for (const file of readdirSync(NATIVE).filter((each) => /\.[ch]pp$/.test(each))) {
    if (file !== 'binding.cpp') copyFileSync(join(NATIVE, file), join(folder, file))
  }
  copyFileSync(join(import.meta.dirname, 'check.cpp'), join(folder, 'check.cpp'))
  for (const [file, text] of Object.entries(changes)) writeFileSync(join(folder, file), text)
  return folder
}

async function check(what, { compiler = COMPILER, flags = [], changes = {}, runner = [] }) {
  const folder = copySources('sources', changes)
  const files = ['check.cpp', ...sources().filter((each) => each !== 'binding.cpp')]
  const program = join(folder, 'check')
  const inputs = files.map((each) => join(folder, each))
  console.log(`${what}:`)
  const fault = await run(compiler, [...FLAGS, ...flags, `-I${folder}`, ...inputs, '-o', program])
  const [command, ...args] = [...runner, program]
  const { status } =
    fault === undefined ? spawnSync(command, args, { stdio: 'inherit' }) : { status: fault }
  if (status === 0) return
  console.log(`WRONG  ${what}: ${status ?? 'it crashed'}`)
  failed++
}

const EMULATED_INTRINSICS = [
  ...['load', 'store'].map((each) => `_mm512_${each}u_si512`),
  ...['setzero_si512', 'xor_si512', 'and_si512', 'set1_epi8', 'set1_epi64', 'srli_epi64'].map(
    (each) => `_mm512_${each}`,
  ),
  ...['broadcast_i32x4', 'shuffle_epi8', 'gf2p8affine_epi64_epi8'].map((each) => `_mm512_${each}`),
  '_mm256_gf2p8affine_epi64_epi8',
]

/** AVX-512 and GFNI as functions of C; and the compiler may not use the instructions on its own either. */
const EMULATED = {
  'immintrin.h': [
    '#pragma once',
    '#include_next <immintrin.h>',
    '#include <simde/x86/avx512.h>',
    '#include <simde/x86/gfni.h>',
    '#define __m512i simde__m512i',
    ...EMULATED_INTRINSICS.map((each) => `#define ${each} simde${each}`),
  ].join('\n'),
  'target.hpp': '#define QUORATE_TARGET_BEGIN(features)\n#define QUORATE_TARGET_END\n',
}

try {
  await check('this processor', {})
  await check('this processor, without PSHUFB and TBL', { flags: ['-DQUORATE_NO_PSHUFB'] })
  if (has('clang++')) await check('this processor, by clang', { compiler: 'clang++' })
  else console.log('not here: clang++')
  if (process.arch === 'x64' && existsSync('/usr/include/simde/x86/gfni.h')) {
    const flags = ['-DQUORATE_CHECK_EMULATED', '-mavx2']
    await check('AVX-512 and GFNI, emulated', { flags, changes: EMULATED })
  } else console.log('not here: SIMDe, which emulates AVX-512 and GFNI')
  const compiler = 'aarch64-linux-gnu-g++'
  if (has(compiler) && has('qemu-aarch64')) {
    await check('arm64, by QEMU', { compiler, flags: ['-static'], runner: ['qemu-aarch64'] })
  } else console.log(`not here: ${compiler} and qemu-aarch64`)
} finally {
  rmSync(room, { recursive: true })
}
process.exitCode = failed === 0 ? 0 : 1
