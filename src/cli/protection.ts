/** The flags that name certificates and secrets, the same for every command; and reading the files they name. */
import { readFile } from 'node:fs/promises'
import type { TlsOptions } from '../index.js'
import type { Protection } from '../transport/protection.js'
import { UsageError } from './command-line.js'

/** Files of a certificate, its key and the authority that all members and clients trust. */
export interface TlsFiles {
  readonly cert: string
  readonly key: string
  readonly ca: string
}

/** The flags, for parseFlags. */
export const PROTECTION_FLAGS: Readonly<
  Record<'tls-cert' | 'tls-key' | 'tls-ca' | 'secret-file', { readonly type: 'string' }>
> = {
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'tls-ca': { type: 'string' },
  'secret-file': { type: 'string' },
}

/** What `--help` says about them. */
export const PROTECTION_HELP: string = `  --tls-cert FILE, --tls-key FILE, --tls-ca FILE
                       certificate, key and authority in PEM; needed beyond this machine, or
  --secret-file FILE   a shared secret of at least 16 bytes; authenticates, does not encrypt`

/** The three files, all or none of them. */
export function tlsFilesOf(
  flags: {
    readonly [flag in 'tls-cert' | 'tls-key' | 'tls-ca']?: string | undefined
  },
): TlsFiles | undefined {
  const { 'tls-cert': cert, 'tls-key': key, 'tls-ca': ca } = flags
  if (cert === undefined && key === undefined && ca === undefined) return undefined
  if (cert === undefined || key === undefined || ca === undefined) {
    throw new UsageError('TLS needs all three: --tls-cert, --tls-key, --tls-ca')
  }
  return { cert, key, ca }
}

/** Reads what the flags name. */
export async function readProtection(
  flags: {
    readonly [flag in keyof typeof PROTECTION_FLAGS]?: string | undefined
  },
): Promise<Protection> {
  const tls = tlsFilesOf(flags)
  const secretFile = flags['secret-file']
  return {
    tls: tls === undefined ? undefined : await readTls(tls),
    secret: secretFile === undefined ? undefined : Buffer.from(await readSecret(secretFile)),
  }
}

/** Reads the three files. */
export async function readTls({ cert, key, ca }: TlsFiles): Promise<TlsOptions> {
  return { cert: await readText(cert), key: await readText(key), ca: await readText(ca) }
}

/** Reads a secret: the text of the file without the line break at its end. */
export async function readSecret(path: string): Promise<string> {
  return (await readText(path)).trimEnd()
}

/** Reads a file that the command line named; one that cannot be read is a UsageError. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${(error as Error).message}`, { cause: error })
  }
}
