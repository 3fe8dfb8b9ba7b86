/** The cipher suites that the gateway agrees on with OpenSSL's own client. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { createCertificate } from '../../support/certificate.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';

const run = promisify(execFile);

/** The suite that `openssl s_client` and the gateway agree on behind AUTH TLS; undefined where they find none. */
async function negotiated(gateway: TestGateway, ...options: readonly string[]): Promise<string | undefined> {
  const address = `127.0.0.1:${gateway.controlPort}`;
  const client = run('openssl', ['s_client', '-connect', address, '-starttls', 'ftp', '-brief', ...options]);
  client.child.stdin?.end('QUIT\n');
  // s_client exits with 1 where the handshake fails, and explains itself on standard error.
  const { stderr } = await client.catch((error: unknown) => error as { readonly stderr: string });
  return /^Ciphersuite: (\S+)$/m.exec(stderr)?.[1];
}

describe('cipher suites', () => {
  let strict: TestGateway;
  let lenient: TestGateway;
  before(async () => {
    // RSA key transport, which must be refused, needs an RSA key.
    const certificates = { current: await createCertificate('localhost', 'rsa') };
    strict = await startTestGateway({ tls: 'optional', certificates });
    lenient = await startTestGateway({
      tls: 'optional',
      certificates,
      tlsCiphers: 'ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:kRSA+AES',
    });
  });
  after(() => Promise.all([strict.close(), lenient.close()]));

  for (const suite of [
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ]) {
    it(`The gateway agrees on ${suite} with TLS 1.2`, async () => {
      assert.equal(await negotiated(strict, '-tls1_2', '-cipher', suite), suite);
    });
  }

  // Without forward secrecy, or without authenticated encryption.
  for (const suite of [
    'AES128-SHA',
    'AES256-GCM-SHA384',
    'ECDHE-RSA-AES128-SHA',
    'ECDHE-RSA-AES256-SHA384',
  ]) {
    it(`The gateway refuses ${suite} with TLS 1.2, unless TLS_CIPHERS selects it`, async () => {
      assert.equal(await negotiated(strict, '-tls1_2', '-cipher', suite), undefined);
      assert.equal(await negotiated(lenient, '-tls1_2', '-cipher', suite), suite);
    });
  }

  for (const version of ['-tls1', '-tls1_1']) {
    it(`The gateway refuses the protocol version of ${version}`, async () => {
      assert.equal(await negotiated(strict, version, '-cipher', 'ALL:@SECLEVEL=0'), undefined);
      assert.equal(await negotiated(lenient, version, '-cipher', 'ALL:@SECLEVEL=0'), undefined);
    });
  }

  it('The gateway agrees on TLS 1.3, whatever TLS_CIPHERS says', async () => {
    for (const gateway of [strict, lenient]) {
      assert.match((await negotiated(gateway, '-tls1_3')) ?? '', /^TLS_/);
    }
  });
});
