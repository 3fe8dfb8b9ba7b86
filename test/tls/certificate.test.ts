/** Certificates in files are checked, and read again when they change. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { CertificateFromFiles } from '../../src/tls/certificate.ts';
import type { GatewayEvent } from '../../src/observability/event.ts';
import { createCertificate } from '../support/certificate.ts';
import { LeakCheck } from '../support/leak-check.ts';

const leaks = new LeakCheck();
after(() => leaks.assertNothingLeft());

describe('a certificate in files', () => {
  let folder: string;
  let files: { readonly certificatePath: string; readonly keyPath: string };
  let opened: CertificateFromFiles | undefined;
  const events: GatewayEvent[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'certificate-'));
    files = { certificatePath: join(folder, 'cert.pem'), keyPath: join(folder, 'key.pem') };
    await write('first');
    events.length = 0;
  });
  afterEach(async () => {
    opened?.close();
    opened = undefined;
    await rm(folder, { recursive: true });
  });

  async function write(name: string): Promise<void> {
    const { chain, key } = await createCertificate(name);
    await writeFile(files.keyPath, key);
    await writeFile(files.certificatePath, chain);
  }
  async function open(): Promise<CertificateFromFiles> {
    opened = await CertificateFromFiles.open(files, (event) => events.push(event), {
      settleMs: 10,
      renewalMs: 500,
    });
    return opened;
  }
  const nameOf = ({ current }: CertificateFromFiles): string => new X509Certificate(current.chain).subject;
  async function becomes(certificate: CertificateFromFiles, name: string): Promise<void> {
    const deadline = Date.now() + 5_000;
    while (nameOf(certificate) !== `CN=${name}`) {
      assert.ok(Date.now() < deadline, `the certificate is still ${nameOf(certificate)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  it('A certificate is read again when its files are rewritten', async () => {
    const certificate = await open();
    assert.equal(nameOf(certificate), 'CN=first');
    await write('second');
    await becomes(certificate, 'second');
    const loaded = events.at(-1);
    assert.ok(loaded?.event === 'certificate-loaded');
    assert.deepEqual([loaded.source, loaded.subject], [files.certificatePath, 'CN=second']);
  });

  it('A certificate is read again when its files are replaced by links, as Kubernetes and certbot do', async () => {
    const certificate = await open();
    const { chain, key } = await createCertificate('linked');
    await writeFile(join(folder, 'new-cert.pem'), chain);
    await writeFile(join(folder, 'new-key.pem'), key);
    await symlink('new-cert.pem', join(folder, 'cert.link'));
    await symlink('new-key.pem', join(folder, 'key.link'));
    await rename(join(folder, 'cert.link'), files.certificatePath);
    await rename(join(folder, 'key.link'), files.keyPath);
    await becomes(certificate, 'linked');
  });

  it('A certificate is read again while another file in its directory is constantly rewritten', async () => {
    const certificate = await open();
    const writing = setInterval(() => void writeFile(join(folder, 'access.log'), 'a line'), 20);
    try {
      await write('second');
      await becomes(certificate, 'second');
    } finally {
      clearInterval(writing);
    }
  });

  it('A certificate is read again when the directory behind a `..data` link is replaced, as Kubernetes does', async () => {
    const mount = async (version: string): Promise<void> => {
      const { chain, key } = await createCertificate(version);
      await mkdir(join(folder, `..${version}`));
      await writeFile(join(folder, `..${version}`, 'tls.crt'), chain);
      await writeFile(join(folder, `..${version}`, 'tls.key'), key);
      await symlink(`..${version}`, join(folder, '..data_tmp'));
      await rename(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    await mount('2026');
    await symlink('..data/tls.crt', join(folder, 'tls.crt'));
    await symlink('..data/tls.key', join(folder, 'tls.key'));
    files = { certificatePath: join(folder, 'tls.crt'), keyPath: join(folder, 'tls.key') };
    const certificate = await open();
    assert.equal(nameOf(certificate), 'CN=2026');
    await mount('2027');
    await becomes(certificate, '2027');
    assert.deepEqual(
      events.filter((each) => each.event === 'config-reload-failed'),
      [],
    );
  });

  it('A certificate is not reported as unusable when its key follows a little later', async () => {
    const certificate = await open();
    const { chain, key } = await createCertificate('late key');
    await writeFile(files.certificatePath, chain);
    // Several reads find them not matching.
    await new Promise((resolve) => setTimeout(resolve, 50));
    await writeFile(files.keyPath, key);
    await becomes(certificate, 'late key');
    assert.deepEqual(
      events.filter((each) => each.event === 'config-reload-failed'),
      [],
    );
  });

  it('A certificate that does not match its key is reported once with an explanation, however often its directory changes', async () => {
    await open();
    await writeFile(files.keyPath, (await createCertificate('other')).key);
    const reports = () => events.filter((each) => each.event === 'config-reload-failed');
    const writing = setInterval(() => void writeFile(join(folder, 'access.log'), 'a line'), 20);
    try {
      const deadline = Date.now() + 5_000;
      while (reports().length === 0) {
        assert.ok(Date.now() < deadline, 'nothing was reported');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      // Long enough for several more reads of the same files.
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      clearInterval(writing);
    }
    assert.equal(reports().length, 1);
    assert.match(
      reports()[0]?.reason ?? '',
      /cert\.pem and \S+key\.pem\) do not match: the key belongs to another/,
    );
  });

  it('A certificate stays in use when the new one is unusable, which is reported', async () => {
    const certificate = await open();
    await writeFile(files.keyPath, 'no key');
    await certificate.reload();
    assert.equal(nameOf(certificate), 'CN=first');
    const event = events.find((each) => each.event === 'config-reload-failed');
    assert.match(
      event?.reason ?? '',
      /^The certificate and the key of TLS_CERTIFICATE \(\S+cert\.pem and \S+key\.pem\) cannot be used/,
    );
  });

  it('A certificate that is missing or does not match its key is an error that names the files', async () => {
    await writeFile(files.keyPath, (await createCertificate('other')).key);
    await assert.rejects(
      open(),
      /The certificate and the key of TLS_CERTIFICATE \(\S+cert\.pem and \S+key\.pem\) do not match/,
    );
    await rm(files.keyPath);
    await assert.rejects(
      open(),
      /^Error: TLS_CERTIFICATE: the file \S+key\.pem cannot be read: no such file or directory \(ENOENT\)/,
    );
  });
});
