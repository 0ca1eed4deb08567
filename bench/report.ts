/** One HTML page of what benchmarks wrote with --json: works from a file, offline, in light and dark, on a phone. */
import { writeFile } from 'node:fs/promises'
import { parseWordsAndFlags, UsageError } from '../src/cli/command-line.js'
import { print } from '../src/cli/terminal.js'
import { findBrowser, lookAt, SCREENS } from './report/browser.js'
import { pageOf } from './report/page.js'
import { readResults } from './report/read-results.js'

const HELP = `npm run bench -- report FILES... [flags]

Merges the files that --json wrote into one page.
  --out FILE     where it goes (quorate-bench.html)
  --look FOLDER  look at it in headless Chromium, save pictures in FOLDER, and fail when something is wrong with it`

/** Runs the command. */
export async function report(args: readonly string[]): Promise<void> {
  const { values: flags, positionals: files } = parseWordsAndFlags(args, {
    out: { type: 'string', default: 'quorate-bench.html' },
    look: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  if (files.length === 0) throw new UsageError('which files? (report FILES...)')
  const { out } = flags
  const results = await Promise.all(files.map(readResults))
  await writeFile(out, pageOf(results))
  const what = results.map(({ benchmark }) => benchmark).join(', ')
  print(`${out}: ${what}`)
  if (flags.look !== undefined) await look(out, flags.look)
}

async function look(page: string, folder: string): Promise<void> {
  const browser = findBrowser()
  if (browser === undefined) {
    throw new UsageError(
      'no Chromium is installed here to look at the page with (Debian: chromium)',
    )
  }
  const { pictures, faults } = await lookAt(browser, page, folder, SCREENS)
  for (const picture of pictures) print(picture)
  for (const fault of faults) process.stderr.write(`${fault}\n`)
  if (faults.length > 0) process.exitCode = 1
  else print('Nothing is wrong with the page.')
}
