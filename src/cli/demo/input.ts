/** What the demo stores: the files of an installed dependency tree, text and binary, as they lie there. */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, sep } from 'node:path'

/** A file to store: its path within the tree is the key. */
export interface InputFile {
  readonly key: string
  readonly path: string
  readonly bytes: number
}

/** The files to store and those that are not, each list in the order of its keys. */
export interface Input {
  readonly root: string
  readonly files: readonly InputFile[]
  readonly bytes: number
  /** Larger than a value may be. */
  readonly tooLarge: readonly InputFile[]
  /** Within the limit for values, but beyond the total. */
  readonly beyondTotal: readonly InputFile[]
}

/**
 * The dependency tree that this package was installed with: its own `node_modules`, or the one it lies in.
 * Does not depend on the working directory.
 */
export async function dependencyTree(): Promise<string> {
  const packageRoot = join(import.meta.dirname, '../../../..')
  const own = join(packageRoot, 'node_modules')
  const around = dirname(packageRoot)
  return (await isFolder(own)) || basename(around) !== 'node_modules' ? own : around
}

/** Lists the regular files below `root`; reads none of them. Links are not followed. */
export async function listInput(
  root: string,
  limits: { readonly valueBytes: number; readonly totalBytes: number },
): Promise<Input> {
  const files: InputFile[] = []
  const tooLarge: InputFile[] = []
  const beyondTotal: InputFile[] = []
  let bytes = 0
  for (const file of await allFiles(root)) {
    if (file.bytes > limits.valueBytes) tooLarge.push(file)
    else if (bytes + file.bytes > limits.totalBytes) beyondTotal.push(file)
    else {
      files.push(file)
      bytes += file.bytes
    }
  }
  return { root, files, bytes, tooLarge, beyondTotal }
}

async function allFiles(root: string): Promise<InputFile[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile())
    .map(async (entry): Promise<InputFile> => {
      const path = join(entry.parentPath, entry.name)
      const { size } = await stat(path)
      return { key: relative(root, path).split(sep).join('/'), path, bytes: size }
    })
  return (await Promise.all(files)).sort((a, b) => (a.key < b.key ? -1 : 1))
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch {
    return false
  }
}
