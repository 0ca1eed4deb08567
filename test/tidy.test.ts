/**
 * The code checks itself: which folder may import which, what the core may not touch, and the limits of style
 * that neither the compiler nor biome enforces. Each rule answers with the list of places that break it.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, sep } from 'node:path'
import { test } from 'node:test'

const ROOT = join(import.meta.dirname, '../..')

/** design.md "The house", from the top down: a folder imports only from folders after it, and itself. */
const LAYERS = [
  'store',
  'member',
  'snapshot',
  'blob',
  'machine',
  'log',
  'transport',
  'wire',
  'erasure',
  'raft',
  'env',
  'base',
] as const

/** The entry points: the only files outside a folder of src/, and the only ones that re-export. */
const ENTRY_POINTS = new Set(['src/index.ts', 'src/testing.ts', 'src/level.ts'])

interface Import {
  readonly specifier: string
  /** The imported file of this project (`src/log/log.ts`); undefined for a package. */
  readonly target: string | undefined
  readonly kind: 'value' | 'type'
  readonly form: 'import' | 'export'
}

interface Source {
  readonly path: string
  readonly text: string
  /** The text without comments and strings, with every line break in its place. */
  readonly code: string
  readonly imports: readonly Import[]
}

const COMMENT_OR_STRING = new RegExp(
  [
    String.raw`/\*[\s\S]*?\*/|//[^\n]*`,
    String.raw`'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"`,
    '`(?:\\\\.|[^`\\\\])*`',
  ].join('|'),
  'g',
)

/** Blanks comments and the insides of strings, so that a rule on code sees only code. */
function codeOf(text: string): string {
  return text.replace(COMMENT_OR_STRING, (found) =>
    found.startsWith('/') ? found.replace(/[^\n]/g, ' ') : `''${found.replace(/[^\n]/g, '')}`,
  )
}

function importsOf(path: string, text: string): Import[] {
  const statement = /^(import|export)\s+(type\s+)?([\w$*{},\s]*?)\s*from\s+'([^']+)'/gm
  const bare = /^import\s+'([^']+)'|\bimport\('([^']+)'\)/gm
  const found: Import[] = []
  for (const [, form, typeWord, names, specifier] of text.matchAll(statement)) {
    const named = names!
      .replace(/[{}]/g, '')
      .split(',')
      .map((name) => name.trim())
    const onlyTypes = named.filter((name) => name !== '').every((name) => name.startsWith('type '))
    found.push({
      specifier: specifier!,
      target: targetOf(path, specifier!),
      kind: typeWord !== undefined || onlyTypes ? 'type' : 'value',
      form: form === 'export' ? 'export' : 'import',
    })
  }
  for (const [, effect, dynamic] of text.matchAll(bare)) {
    const specifier = (effect ?? dynamic)!
    found.push({ specifier, target: targetOf(path, specifier), kind: 'value', form: 'import' })
  }
  return found
}

function targetOf(path: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  return normalize(join(dirname(path), specifier))
    .split(sep)
    .join('/')
    .replace(/\.js$/, '.ts')
}

function source(path: string, text: string): Source {
  return { path, text, code: codeOf(text), imports: importsOf(path, text) }
}

function sourcesBelow(folder: string): Source[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name.split(sep).join('/')}`)
    .filter((path) => path.endsWith('.ts'))
    .sort()
    .map((path) => source(path, readFileSync(join(ROOT, path), 'utf8')))
}

const everything = ['src', 'test', 'bench'].flatMap(sourcesBelow)

/** `src/log/segment.ts` -> `log`; a file directly in src/ stands for itself. */
function folderOf(path: string): string {
  return path.split('/')[1]!
}

/** Every line of `source` whose code matches, as `path:line: text`. */
function linesWith(source: Source, pattern: RegExp): string[] {
  const lines = source.text.split('\n')
  return source.code
    .split('\n')
    .flatMap((line, i) =>
      pattern.test(line) ? [`${source.path}:${i + 1}: ${lines[i]!.trim()}`] : [],
    )
}

function anyWord(...alternatives: readonly string[]): RegExp {
  return new RegExp(`\\b(?:${alternatives.join('|')})\\b`)
}

/** Why `from` may not import `to`; undefined when it may. */
function layerFault(from: Source, to: string): string | undefined {
  const upper = folderOf(from.path)
  const lower = folderOf(to)
  if (upper === lower || ENTRY_POINTS.has(from.path)) return undefined
  if (!to.startsWith('src/')) return 'src may not know anything outside of src'
  if (ENTRY_POINTS.has(to)) return upper === 'cli' ? undefined : 'only cli imports an entry point'
  if (upper === 'cli' || upper === 'sim') return lower === 'cli' ? 'cli is on top' : undefined
  if (lower === 'sim' || lower === 'cli') return `nothing in the library knows ${lower}`
  if (upper === 'raft' && lower !== 'base') return 'raft knows only base'
  const above = LAYERS.indexOf(upper as (typeof LAYERS)[number])
  const below = LAYERS.indexOf(lower as (typeof LAYERS)[number])
  if (above === -1 || below === -1) return 'a folder that the map does not have'
  return below < above ? `${upper} lies below ${lower}` : undefined
}

const FUNCTION_HEAD = new RegExp(
  [
    String.raw`^(\s*)(?:(?:export|default|async|static|override|get|set) |\*)*`.concat(
      String.raw`(?:function\b|#?\w+(?:<[^>]*>)?\()`,
    ),
    String.raw`^(\s*)(?:export )?const \w+[^=]*= (?:async )?\(`,
  ].join('|'),
)
const STATEMENT = /^\s*(?:if|for|while|switch|return|await|throw|super)\b/

/** Functions and methods as `[first line, last line]`, told by the indentation that the formatter guarantees. */
function functionsOf(source: Source): [number, number][] {
  const lines = source.code.split('\n')
  return lines.flatMap((line, start): [number, number][] => {
    const head = FUNCTION_HEAD.exec(line)
    if (head === null || STATEMENT.test(line)) return []
    const indent = (head[1] ?? head[2])!
    if (!hasBody(lines, start, indent)) return []
    const end = lines.findIndex((later, i) => i > start && later.startsWith(`${indent}}`))
    return lines[end]?.trim() === '}' ? [[start, end]] : []
  })
}

/** Whether the signature that begins at `start` ends with an open brace, on its line or on that of its `)`. */
function hasBody(lines: readonly string[], start: number, indent: string): boolean {
  for (let i = start; i < lines.length; i++) {
    const line = lines[i]!.trimEnd()
    const isLast = line.startsWith(`${indent})`)
    if ((i === start || isLast) && line.endsWith('{')) return true
    if (i > start && line.trim() !== '' && !line.startsWith(`${indent} `)) return false
  }
  return false
}

/** The comment that ends on the line before `line`. */
function commentAbove(lines: readonly string[], line: number): string {
  let first = line
  while (/^\s*(?:\/\/|\/?\*)/.test(lines[first - 1] ?? '')) first--
  return lines.slice(first, line).join('\n')
}

function inLibrary({ path }: Source): boolean {
  return path.startsWith('src/')
}

function cyclesOf(sources: readonly Source[]): string[] {
  const next = new Map(
    sources.map(({ path, imports }) => [
      path,
      imports.filter(({ kind }) => kind === 'value').flatMap(({ target }) => target ?? []),
    ]),
  )
  const cycles: string[] = []
  const done = new Set<string>()
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '))
      return
    }
    if (done.has(path)) return
    for (const target of next.get(path) ?? []) visit(target, [...trail, path])
    done.add(path)
  }
  for (const path of next.keys()) visit(path, [])
  return cycles
}

/** A rule on the sources: the places that break it, and a source that does, so that the rule itself is tried. */
interface Rule {
  readonly title: string
  readonly faults: (sources: readonly Source[]) => string[]
  readonly broken: readonly [path: string, text: string]
}

const rules: readonly Rule[] = [
  {
    title: 'imports point down the layers of the house',
    faults: (sources) =>
      sources.filter(inLibrary).flatMap((from) =>
        from.imports.flatMap(({ target }) => {
          const fault = target === undefined ? undefined : layerFault(from, target)
          return fault === undefined ? [] : [`${from.path} imports ${target}: ${fault}`]
        }),
      ),
    broken: ['src/wire/planted.ts', "import type {\n  A,\n} from '../log/segment.js'"],
  },
  {
    title: 'only entry points re-export, and by name',
    faults: (sources) =>
      sources
        .filter(inLibrary)
        .flatMap((from) => [
          ...from.imports
            .filter(({ form }) => form === 'export' && !ENTRY_POINTS.has(from.path))
            .map(({ specifier }) => `${from.path} re-exports ${specifier}`),
          ...linesWith(from, /^export \*/),
        ]),
    broken: ['src/log/index.ts', "export { A } from './segment.js'"],
  },
  {
    title: 'no import cycles between values',
    faults: cyclesOf,
    broken: ['src/log/planted.ts', "import { a } from './planted.js'"],
  },
  {
    title: 'the core is pure: no node: import, no clock, no chance, no promise, no process',
    faults: (sources) => {
      const impure = anyWord(
        'Date|Math\\.random|setTimeout|setInterval|setImmediate|queueMicrotask',
        'async|await|Promise|process|performance|crypto',
      )
      return sources
        .filter(({ path }) => path.startsWith('src/raft/'))
        .flatMap((core) => [
          ...linesWith(core, impure),
          ...core.imports
            .filter(({ target }) => target === undefined)
            .map(({ specifier }) => `${core.path} imports ${specifier}`),
        ])
    },
    broken: ['src/raft/planted.ts', 'export const now = Date.now()'],
  },
  {
    title: 'time and chance come in through env',
    faults: (sources) => {
      const hidden = anyWord(
        'Date\\.now|new Date|performance\\.now|hrtime|setTimeout|setInterval',
        'Math\\.random|randomBytes|getRandomValues|randomUUID',
      )
      return sources
        .filter(inLibrary)
        .filter(({ path }) => !/^src\/(env|sim|cli)\//.test(path))
        .flatMap((file) => linesWith(file, hidden))
    },
    broken: ['src/member/planted.ts', 'setTimeout(run, 5)'],
  },
  {
    title: 'no any',
    faults: (sources) =>
      sources.flatMap((file) => linesWith(file, /(?:[:<|]|\bas)\s*any\b|\bany\[\]/)),
    broken: ['src/log/planted.ts', 'export function read(file: any): void {}'],
  },
  {
    title: 'no work postponed to a comment, no check switched off',
    faults: (sources) => {
      // Written apart, so that this file keeps its own rule.
      const marks = new RegExp(
        ['TO' + 'DO', 'FIX' + 'ME', '@ts-' + 'ignore', '@ts-' + 'nocheck'].join('|'),
      )
      return sources.flatMap(({ path, text }) =>
        text
          .split('\n')
          .flatMap((line, i) => (marks.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
      )
    },
    broken: ['src/log/planted.ts', `// ${'TO' + 'DO'}: later`],
  },
  {
    title: 'code keeps to 100 columns; with comments, and texts that cannot be broken, to 120',
    faults: (sources) =>
      sources.flatMap(({ path, text, code }) => {
        const codeLines = code.split('\n')
        return text.split('\n').flatMap((line, i) => {
          const isTooWide = codeLines[i]!.trimEnd().length > 100 || [...line].length > 120
          return isTooWide ? [`${path}:${i + 1}: ${[...line].length} columns`] : []
        })
      }),
    broken: ['src/log/planted.ts', `export const wide = ${'wide + '.repeat(20)}1`],
  },
  {
    title: 'no function is longer than 70 lines, unless the comment above it says why it is long',
    faults: (sources) =>
      sources.flatMap((file) => {
        // A contract suite is one function that lists its tests.
        if (file.path.startsWith('test/contract/')) return []
        const lines = file.text.split('\n')
        return functionsOf(file)
          .filter(([start, end]) => end - start + 1 > 70)
          .filter(([start]) => !/\blong\b/.test(commentAbove(lines, start)))
          .map(([start, end]) => `${file.path}:${start + 1}: ${end - start + 1} lines`)
      }),
    broken: [
      'src/log/planted.ts',
      `function long(\n  a: number,\n): void {\n${'  a\n'.repeat(70)}}`,
    ],
  },
  {
    title: 'what the entry points export has a docstring where it is declared',
    faults: (sources) => exportedBy(sources).flatMap((name) => undocumented(name, sources)),
    broken: ['src/index.ts', "export { Planted } from './index.js'\nexport class Planted {}\n"],
  },
  {
    title: 'every file begins with a comment that says what it is; a test says it in its titles',
    faults: (sources) =>
      sources
        .filter(({ path, text }) => !path.endsWith('.test.ts') && !/^(?:#!.*\n)?\/\*\*/.test(text))
        .map(({ path }) => path),
    broken: ['src/log/planted.ts', "import './segment.js'\n"],
  },
]

/** The names that the entry points give out, each with the file that it comes from. */
function exportedBy(sources: readonly Source[]): { name: string; path: string }[] {
  return sources
    .filter(({ path }) => ENTRY_POINTS.has(path))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/^export (?:type )?\{([^}]*)\} from '([^']+)'/gm)].flatMap(
        ([, names, from]) =>
          names!
            .split(',')
            .map((name) => name.replace('type ', '').trim().split(' as ')[0]!)
            .filter((name) => name !== '')
            .map((name) => ({ name, path: targetOf(path, from!) ?? from! })),
      ),
    )
}

function undocumented(
  { name, path }: { name: string; path: string },
  sources: readonly Source[],
): string[] {
  const text = sources.find((source) => source.path === path)?.text ?? ''
  const kinds = 'class|interface|type|function\\*?|const'
  const declared = new RegExp(`^export (?:abstract |async )*(?:${kinds}) ${name}\\b`, 'm').exec(
    text,
  )
  const before = text.slice(0, declared?.index ?? 0).trimEnd()
  return before.endsWith('*/') ? [] : [`${path}: ${name}`]
}

for (const { title, faults, broken } of rules) {
  test(title, () => {
    assert.deepEqual(faults(everything), [])
    assert.equal(faults([source(...broken)]).length, 1, 'the rule finds a planted fault')
  })
}

const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md']
  .concat(
    readdirSync(join(ROOT, 'docs'))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${name}`),
  )
  .filter((path) => existsSync(join(ROOT, path)))
  .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))

test('the documents name only scripts that package.json has', () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  const builtIn = new Set(['install', 'ci', 'test', 'start'])
  const faults = documents.flatMap(({ path, text }) =>
    [...text.matchAll(/\bnpm (?:run (?:-s )?([\w:-]+)|(test|start)\b)/g)]
      .map((match) => (match[1] ?? match[2])!)
      .filter((script) => manifest.scripts[script] === undefined && !builtIn.has(script))
      .map((script) => `${path}: npm run ${script}`),
  )
  assert.deepEqual(faults, [])
})

test('the documents link only to files that exist, and name no path of one machine', () => {
  const faults = documents.flatMap(({ path, text }) => [
    ...[...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1]!)
      .filter((link) => !/^[a-z]+:/.test(link) && !existsSync(join(ROOT, dirname(path), link)))
      .map((link) => `${path} links to ${link}`),
    ...[...text.matchAll(/(?<![\w.])\/(?:home|root|work|Users|mnt|tmp)\/\S+/g)].map(
      (match) => `${path} names ${match[0]}`,
    ),
  ])
  assert.deepEqual(faults, [])
})
