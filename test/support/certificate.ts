/** Certificates for localhost and loopback addresses, created in every test process, so that the repository contains no key. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';

export type TestCertificate = { readonly chain: string; readonly key: string };

export async function createCertificate(
  commonName = 'localhost',
  keyType: 'ec' | 'rsa' = 'ec',
  addresses: readonly string[] = ['127.0.0.1'],
): Promise<TestCertificate> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: commonName }], {
    keyType,
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      {
        name: 'subjectAltName',
        altNames: [{ type: 2, value: 'localhost' }, ...addresses.map((ip) => ({ type: 7 as const, ip }))],
      },
    ],
  });
  return { chain: cert, key };
}

let shared: Promise<TestCertificate> | undefined;

/** The one certificate of this process. */
export function testCertificate(): Promise<TestCertificate> {
  shared ??= createCertificate();
  return shared;
}

/** Writes the certificate where clients that want a file find it; `remove` takes it away again. */
export async function writeCaFile(
  certificate: TestCertificate,
): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'ca-'));
  const path = join(folder, 'ca.pem');
  await writeFile(path, certificate.chain);
  return { path, remove: () => rm(folder, { recursive: true }) };
}
