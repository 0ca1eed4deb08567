/** Flags of benchmarks that name what is to be measured: lists, checked word by word. */
import { UsageError, wholeNumber } from '../src/cli/command-line.js'

/** The words of `--flag a,b`, each of them one of `allowed`. */
export function wordsFlag<W extends string>(
  flag: string,
  text: string,
  allowed: readonly W[],
): readonly W[] {
  return text.split(',').map((word) => {
    const found = allowed.find((one) => one === word)
    if (found === undefined) {
      throw new UsageError(
        `--${flag} takes ${allowed.join(', ')}, separated by commas, not '${word}'`,
      )
    }
    return found
  })
}

/** The numbers of `--flag 1,2`. */
export function numbersFlag(flag: string, text: string): readonly number[] {
  return text.split(',').map((word) => wholeNumber(flag, word, 1))
}
