/** What `quorate serve` lets clients do, from flags or a file: by certificate name, or by a secret in a file. */
import type { ClientGrant } from '../index.js'
import { UsageError } from './command-line.js'
import { readSecret } from './protection.js'

/** A grant before its file is read. */
export type GrantSetting =
  | { readonly name: string; readonly role: string }
  | { readonly secretFile: string; readonly role: string }

/** What `quorate serve --help` says about them. */
export const GRANTS_HELP: string = `\
  --client NAME=ROLE   what the holder of a certificate with this name may do: read, write or admin;
                       may be given several times. With none of these, everybody who comes in may
                       do everything; with any of them, nobody else may do anything
  --client-secret FILE=ROLE
                       the same for whoever has the secret in this file`

/** The grants of the flags; undefined when there are none. */
export function grantsOf(
  names: readonly string[] | undefined,
  secretFiles: readonly string[] | undefined,
): GrantSetting[] | undefined {
  if (names === undefined && secretFiles === undefined) return undefined
  return [
    ...(names ?? []).map((text) => {
      const [name, role] = parted('--client NAME', text)
      return { name, role }
    }),
    ...(secretFiles ?? []).map((text) => {
      const [secretFile, role] = parted('--client-secret FILE', text)
      return { secretFile, role }
    }),
  ]
}

/** The grants in the setting `clients` of the file `path`. */
export function grantsIn(
  path: string,
  setting: unknown,
  fromHere: (file: string) => string,
): GrantSetting[] {
  if (!Array.isArray(setting)) throw new UsageError(`${path}: clients is a list`)
  return setting.map((entry: unknown) => {
    const { name, secretFile, role, ...rest } = Object(entry) as Partial<Record<string, unknown>>
    const isKnown = typeof role === 'string' && Object.keys(rest).length === 0
    if (isKnown && typeof name === 'string' && secretFile === undefined) return { name, role }
    if (isKnown && typeof secretFile === 'string' && name === undefined) {
      return { secretFile: fromHere(secretFile), role }
    }
    throw new UsageError(`${path}: a client has name and role, or secretFile and role`)
  })
}

/** Reads the files; whether the roles are ones is checked by Store.open. */
export function readGrants(settings: readonly GrantSetting[]): Promise<ClientGrant[]> {
  return Promise.all(
    settings.map(async (setting): Promise<ClientGrant> => {
      const role = setting.role as ClientGrant['role']
      if ('name' in setting) return { name: setting.name, role }
      return { secret: await readSecret(setting.secretFile), role }
    }),
  )
}

function parted(flag: string, text: string): [what: string, role: string] {
  const at = text.lastIndexOf('=')
  if (at > 0 && at < text.length - 1) return [text.slice(0, at), text.slice(at + 1)]
  throw new UsageError(`${flag}=ROLE, not '${text}'`)
}
