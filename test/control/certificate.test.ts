/** Certificates in files are checked, and read again when they change. */
import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { CertificateFromFiles } from '../../src/control/certificate.ts';
import type { GatewayEvent } from '../../src/operations/event.ts';
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
    opened = await CertificateFromFiles.open(files, (event) => events.push(event));
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

  it('is read again when the files are written', async () => {
    const certificate = await open();
    assert.equal(nameOf(certificate), 'CN=first');
    await write('second');
    await becomes(certificate, 'second');
    assert.deepEqual(events.at(-1), { event: 'certificate-loaded', source: files.certificatePath });
  });

  it('is read again when a link is put in their place, as Kubernetes and certbot do', async () => {
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

  it('stays in force when what is written cannot be used, and that is observed', async () => {
    const certificate = await open();
    await writeFile(files.keyPath, 'no key');
    await certificate.reload();
    assert.equal(nameOf(certificate), 'CN=first');
    const event = events.find((each) => each.event === 'document-unusable');
    assert.match(
      event?.reason ?? '',
      /^The certificate and the key of \S+cert\.pem and \S+key\.pem cannot be used/,
    );
  });

  it('that is missing, or does not fit its key, is an error that names the files', async () => {
    await writeFile(files.keyPath, (await createCertificate('other')).key);
    await assert.rejects(
      open(),
      /The certificate and the key of \S+cert\.pem and \S+key\.pem cannot be used/,
    );
    await rm(files.keyPath);
    await assert.rejects(open(), /no such file or directory, open '\S+key\.pem'/);
  });
});
