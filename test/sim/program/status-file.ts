/** `testing-status.json`: what was tested last, for the README's line. Each command fills in its part. */
import { readFile, writeFile } from 'node:fs/promises'

/** The figures, as far as they are known. */
export interface TestingStatus {
  readonly seeds?: number
  readonly clusterHours?: number
  readonly crashImages?: number
  readonly violations?: number
  /** Of `npm run crash-points`; beside the crashes in the runs of seeds, which `crashImages` counts. */
  readonly crashPoints?: {
    readonly workloads: number
    readonly images: number
    readonly failures: number
  }
  readonly mutants?: { readonly found: number; readonly planted: number }
  readonly determinism?: { readonly seeds: number; readonly different: number }
  readonly realDisk?: { readonly seeds: number; readonly different: number }
}

const PATH = 'testing-status.json'

/** Puts `news` into the file, and the line that sums all of it up. */
export async function recordStatus(news: TestingStatus): Promise<string> {
  const status: TestingStatus = { ...(await readStatus()), ...news }
  const line = describe(status)
  await writeFile(PATH, `${JSON.stringify({ line, ...status }, undefined, 2)}\n`)
  return line
}

async function readStatus(): Promise<TestingStatus> {
  let text: string
  try {
    text = await readFile(PATH, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {}
    throw error
  }
  const { line: _line, ...status } = JSON.parse(text) as TestingStatus & { line?: string }
  return status
}

function describe(status: TestingStatus): string {
  const { seeds, clusterHours, crashImages, crashPoints, mutants } = status
  const parts = [`${seeds ?? 0} seeds`, `${(clusterHours ?? 0).toFixed(1)} cluster-hours`]
  parts.push(`${(crashImages ?? 0) + (crashPoints?.images ?? 0)} crash images`)
  if (mutants !== undefined) parts.push(`${mutants.found}/${mutants.planted} planted bugs found`)
  return parts.join(', ')
}
