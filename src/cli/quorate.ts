#!/usr/bin/env node
/**
 * The `quorate` command: finds the subcommand, runs it, and turns its end into an exit code.
 *
 * 0 all went well; 1 the command failed; 2 the command line is wrong; 130 interrupted.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { StoreError } from '../index.js'
import { BACKUP_HELP, backup } from './backup.js'
import { BENCH_HELP, bench } from './bench.js'
import { BLOBS_HELP, blobs } from './blobs.js'
import { CHECKPOINT_HELP, checkpoint } from './checkpoint.js'
import { UsageError } from './command-line.js'
import { DEMO_HELP, demo } from './demo/demo.js'
import { DOCTOR_HELP, doctor } from './doctor.js'
import { INSPECT_HELP, inspect } from './inspect.js'
import { MEMBERS_HELP, members } from './members.js'
import { RECOVER_HELP, recover } from './recover.js'
import { RESTORE_HELP, restore } from './restore.js'
import { SERVE_HELP, serve } from './serve.js'
import { STATUS_HELP, status } from './status.js'
import { complain, print } from './terminal.js'
import { VERIFY_HELP, verify } from './verify.js'

interface Command {
  readonly summary: string
  readonly help: string
  /** Resolves with the exit code. */
  readonly run: (args: readonly string[]) => Promise<number>
}

const COMMANDS: Readonly<Record<string, Command>> = {
  serve: { summary: 'run one member until it is told to stop', help: SERVE_HELP, run: serve },
  status: { summary: 'ask a running member how it stands', help: STATUS_HELP, run: status },
  members: { summary: 'list, add and remove members', help: MEMBERS_HELP, run: members },
  blobs: { summary: 'say where the shards of large values are', help: BLOBS_HELP, run: blobs },
  checkpoint: {
    summary: 'make a state durable, or retain it',
    help: CHECKPOINT_HELP,
    run: checkpoint,
  },
  backup: { summary: 'back up a data folder', help: BACKUP_HELP, run: backup },
  verify: { summary: 'check a backup', help: VERIFY_HELP, run: verify },
  restore: { summary: 'make a data folder of a backup', help: RESTORE_HELP, run: restore },
  recover: { summary: 'make a new cluster when quorum is gone', help: RECOVER_HELP, run: recover },
  inspect: { summary: 'show what is in a data folder', help: INSPECT_HELP, run: inspect },
  doctor: { summary: 'say what is wrong with a data folder', help: DOCTOR_HELP, run: doctor },
  demo: { summary: 'three members, real files, one kill -9', help: DEMO_HELP, run: demo },
  bench: { summary: 'measure quorate on this machine', help: BENCH_HELP, run: bench },
}

function help(): string {
  const lines = Object.entries(COMMANDS).map(
    ([name, { summary }]) => `  ${name.padEnd(11)}${summary}`,
  )
  return `quorate COMMAND [flags]

${lines.join('\n')}

  --help     this text; quorate COMMAND --help for a command
  --version  the version of this package`
}

function version(): string {
  const manifest = readFileSync(join(import.meta.dirname, '../../../package.json'), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined) throw new UsageError('which command?')
  if (name === '--version') {
    print(version())
    return 0
  }
  if (name === '--help') {
    print(help())
    return 0
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) {
    throw new UsageError(`no command '${name}'; there are ${Object.keys(COMMANDS).join(', ')}`)
  }
  // What stands behind the name of a benchmark is for that.
  if (args[0] === '--help' || (name !== 'bench' && args.includes('--help'))) {
    print(command.help)
    return 0
  }
  return command.run(args)
}

/** Says in one line what went wrong; what nobody foresaw comes with its stack. */
function report(error: unknown): number {
  if (error instanceof UsageError) {
    complain(`quorate: ${error.message}\nSee quorate --help`)
    return 2
  }
  if (error instanceof StoreError) complain(`quorate: ${error.message} (${error.code})`)
  else if (error instanceof TypeError || error instanceof RangeError) {
    complain(`quorate: ${error.message}`)
  } else complain(`quorate: ${error instanceof Error ? error.stack : String(error)}`)
  return 1
}

process.exitCode = await main(process.argv.slice(2)).catch(report)
