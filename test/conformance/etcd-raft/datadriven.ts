/**
 * The format of data-driven tests: commands, their input and the output they must give.
 *
 *   # comment
 *   command arg key=value key=(a, b)
 *   input, any number of lines
 *   ----
 *   expected output, up to a blank line; or between two pairs of `----` when it has blank lines itself
 */

/** One command of a script. */
export interface Directive {
  readonly line: number
  readonly command: string
  /** Arguments without a value, in order. */
  readonly words: readonly string[]
  readonly options: ReadonlyMap<string, readonly string[]>
  readonly input: string
  readonly expected: string
}

const SEPARATOR = '----'

/** Reads a script. */
export function parseScript(text: string): Directive[] {
  const lines = text.split('\n')
  const directives: Directive[] = []
  let at = 0
  while (at < lines.length) {
    const line = lines[at]!
    if (line.trim() === '' || line.startsWith('#')) {
      at++
      continue
    }
    const first = at++
    const input: string[] = []
    while (at < lines.length && lines[at] !== SEPARATOR) input.push(lines[at++]!)
    const output = readOutput(lines, at + 1)
    at = output.next
    directives.push({
      line: first + 1,
      ...parseCommand(line),
      input: input.join('\n').trim(),
      expected: output.text,
    })
  }
  return directives
}

/** The values of an option, as given or none. */
export function optionOf(directive: Directive, key: string): readonly string[] {
  return directive.options.get(key) ?? []
}

function readOutput(lines: readonly string[], start: number): { text: string; next: number } {
  const isDelimited = lines[start] === SEPARATOR
  let end = isDelimited ? start + 1 : start
  const from = end
  const isEnd = (i: number) =>
    isDelimited ? lines[i] === SEPARATOR && lines[i + 1] === SEPARATOR : lines[i]!.trim() === ''
  while (end < lines.length && !isEnd(end)) end++
  return { text: lines.slice(from, end).join('\n'), next: isDelimited ? end + 2 : end }
}

function parseCommand(line: string): Pick<Directive, 'command' | 'words' | 'options'> {
  const [command, ...rest] = line.trim().match(/[^\s=]+=\([^)]*\)|\S+/g)!
  const words: string[] = []
  const options = new Map<string, readonly string[]>()
  for (const part of rest) {
    const [, key, value] = /^([^=]+)=(.*)$/.exec(part) ?? []
    if (key === undefined || value === undefined) words.push(part)
    else options.set(key, valuesOf(value))
  }
  return { command: command!, words, options }
}

function valuesOf(value: string): string[] {
  const list = value.startsWith('(') ? value.slice(1, -1) : value
  return list.split(',').map((item) => item.trim())
}
