/** Command lines: parsed strictly, and every mistake answered with one sentence and exit code 2. */
import { type ParseArgsConfig, parseArgs } from 'node:util'

/** The command line is wrong; the message says how, for people. Leads to exit code 2. */
export class UsageError extends Error {
  override readonly name: string = 'UsageError'
}

/** The values of `args` by the names in `options`; a stray word or an unknown flag is a UsageError. */
export function parseFlags<O extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: O,
): ReturnType<typeof parseArgs<{ options: O }>>['values'] {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values
  } catch (error) {
    throw usageErrorOf(error)
  }
}

/** As parseFlags, for commands that also take words. */
export function parseWordsAndFlags<O extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: O,
): ReturnType<typeof parseArgs<{ options: O; allowPositionals: true }>> {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: true })
  } catch (error) {
    throw usageErrorOf(error)
  }
}

/** A flag's text as a whole number of at least `min`. */
export function wholeNumber(flag: string, text: string, min: number): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < min) {
    throw new UsageError(`--${flag} takes a whole number from ${min} up, not '${text}'`)
  }
  return value
}

/** parseArgs explains at length how to pass a word that begins with a dash: its first sentence is enough. */
function usageErrorOf(error: unknown): unknown {
  const isParseError =
    error instanceof TypeError &&
    'code' in error &&
    typeof error.code === 'string' &&
    error.code.startsWith('ERR_PARSE_ARGS')
  return isParseError ? new UsageError(error.message.split('. ')[0], { cause: error }) : error
}
