/** Every client, over every kind of security it knows, does what its users do all day. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startS3Gateway, type S3Gateway } from '../../support/s3-gateway.ts';
import { missing, run, type Client, type Deed, type Security } from './client.ts';
import { clients } from './clients.ts';

const whole = randomBytes(300_001);
const halfBytes = 123_457;

describe('FTP clients', () => {
  let gateway: S3Gateway;
  let folder: string;

  before(async () => {
    gateway = await startS3Gateway();
    folder = await mkdtemp(join(tmpdir(), 'clients-'));
    await writeFile(join(folder, 'whole'), whole);
  });
  after(async () => {
    await gateway.close();
    await rm(folder, { recursive: true });
  });

  for (const client of clients) {
    for (const security of client.securities) {
      it(`${client.name} over ${security} uploads, downloads, lists, resumes, renames and deletes`, async (t) => {
        const reason = await missing(client);
        if (reason !== undefined) {
          t.skip(reason);
          return;
        }
        await useLikeItsUsers(client, security);
      });
    }
  }

  async function useLikeItsUsers(client: Client, security: Security): Promise<void> {
    const directory = `/${client.name.replaceAll(/\W/g, '-')}-${security}`;
    const remote = `${directory}/report.bin`;
    const local = join(folder, directory.slice(1));
    const server = gateway.server(security);
    const perform = async (deed: Deed): Promise<string | undefined> => {
      const invocation = client.invocation(server, deed);
      return invocation && (await run(invocation));
    };

    const put = await perform({ deed: 'put', local: join(folder, 'whole'), remote });
    if (put === undefined) await gateway.putObject(remote, whole);
    assert.deepEqual(await gateway.getObject(remote), whole, 'the object has the bytes of the file');

    await perform({ deed: 'get', remote, local });
    assert.deepEqual(await readFile(local), whole, 'the file has the bytes of the object');

    assert.match((await perform({ deed: 'list', directory })) ?? '', /report\.bin/);

    await writeFile(local, whole.subarray(0, halfBytes));
    const resumed = await perform({ deed: 'resume-get', remote, local, offsetBytes: halfBytes });
    if (resumed !== undefined) assert.deepEqual(await readFile(local), whole, 'a resumed download is whole');

    const half = `${directory}/half.bin`;
    await gateway.putObject(half, whole.subarray(0, halfBytes));
    const appended = await perform({
      deed: 'resume-put',
      local: join(folder, 'whole'),
      remote: half,
      offsetBytes: halfBytes,
    });
    if (appended !== undefined) {
      assert.deepEqual(await gateway.getObject(half), whole, 'a resumed upload is whole');
    }

    const renamed = `${directory}/renamed.bin`;
    if ((await perform({ deed: 'rename', from: remote, to: renamed })) === undefined) return;
    assert.equal(await gateway.getObject(remote), undefined, 'the old name is gone');
    assert.deepEqual(await gateway.getObject(renamed), whole, 'the new name has the bytes');

    await perform({ deed: 'delete', path: renamed });
    assert.equal(await gateway.getObject(renamed), undefined, 'the deleted file is gone');
  }
});
