/**
 * Certificates for tests, made when they are needed: none expires in the repository, and no key lies in it.
 *
 * X.509 v3 in DER (RFC 5280) with as little as TLS asks for: P-256, ECDSA with SHA-256, a common name, and
 * for the holder its host names.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import type { TlsOptions } from '../../src/env/network.js'

/** An authority that everybody who has its `ca` trusts. */
export interface CertificateAuthority {
  /** A certificate for `name`, good for 127.0.0.1 and localhost, or for `host` only. */
  issue(name: string, host?: string): TlsOptions & { cert: string; key: string; ca: string }
}

const OID_COMMON_NAME = [0x55, 0x04, 0x03]
const OID_BASIC_CONSTRAINTS = [0x55, 0x1d, 0x13]
const OID_SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11]
const OID_ECDSA_SHA256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]

/** Makes an authority of its own. */
export function certificateAuthority(name: string): CertificateAuthority {
  const { publicKey, privateKey } = keyPair()
  const isAuthority = extension(OID_BASIC_CONSTRAINTS, sequence(der(0x01, Buffer.of(0xff))))
  const ca = certificate(name, name, publicKey, privateKey, isAuthority)
  return {
    issue(subject, host) {
      const holder = keyPair()
      const hosts =
        host === undefined
          ? [der(0x87, Buffer.of(127, 0, 0, 1)), der(0x82, Buffer.from('localhost'))]
          : [der(0x82, Buffer.from(host))]
      const names = extension(OID_SUBJECT_ALT_NAME, sequence(...hosts))
      const cert = certificate(subject, name, holder.publicKey, privateKey, names)
      const key = holder.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
      return { cert, key, ca }
    },
  }
}

function keyPair(): { publicKey: Buffer; privateKey: KeyObject } {
  const pair = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  return { publicKey: pair.publicKey, privateKey: createPrivateKey(pair.privateKey) }
}

let serial = 1

function certificate(
  subject: string,
  issuer: string,
  publicKey: Buffer,
  signer: KeyObject,
  extensions: Buffer,
): string {
  const algorithm = sequence(der(0x06, Buffer.from(OID_ECDSA_SHA256)))
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.of(serial++)),
    algorithm,
    commonName(issuer),
    sequence(der(0x17, Buffer.from('200101000000Z')), der(0x17, Buffer.from('491231235959Z'))),
    commonName(subject),
    publicKey,
    der(0xa3, sequence(extensions)),
  )
  const signature = der(0x03, Buffer.of(0), sign('sha256', body, signer))
  const lines = sequence(body, algorithm, signature)
    .toString('base64')
    .match(/.{1,64}/g)!
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}

function commonName(name: string): Buffer {
  const attribute = sequence(der(0x06, Buffer.from(OID_COMMON_NAME)), der(0x0c, Buffer.from(name)))
  return sequence(der(0x31, attribute))
}

function extension(oid: readonly number[], value: Buffer): Buffer {
  return sequence(der(0x06, Buffer.from(oid)), der(0x04, value))
}

function sequence(...content: Buffer[]): Buffer {
  return der(0x30, ...content)
}

/** A value in DER: its tag, the length of its content, its content. */
function der(tag: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const { length } = body
  const header =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...header), body])
}
