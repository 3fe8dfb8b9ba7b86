/** lftp with compression switched on: the only client of the trade that speaks MODE Z. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startS3Gateway, type S3Gateway } from '../../support/s3-gateway.ts';
import { missing, run, type Security } from './client.ts';
import { lftpOpening } from './clients.ts';

const contents = new Map([
  ['empty', Buffer.alloc(0)],
  ['random', randomBytes(300_001)],
  ['lines', Buffer.from('a line of a file that compresses well\n'.repeat(400_000))],
]);

describe('lftp in MODE Z', () => {
  let gateway: S3Gateway;
  let folder: string;

  before(async () => {
    gateway = await startS3Gateway();
    folder = await mkdtemp(join(tmpdir(), 'mode-z-'));
    for (const [name, content] of contents) await writeFile(join(folder, name), content);
  });
  after(async () => {
    await gateway.close();
    await rm(folder, { recursive: true });
  });

  for (const security of ['plain', 'explicit', 'implicit'] satisfies Security[]) {
    it(`lftp in MODE Z uploads, lists and downloads over ${security}`, async (t) => {
      const probe = { program: 'sh', arguments: ['-c', 'command -v lftp'] };
      const reason = await missing({ name: 'lftp', probe });
      if (reason !== undefined) {
        t.skip(reason);
        return;
      }
      const directory = `/${security}`;
      const commands = [...contents.keys()].map(
        (name) =>
          `put "${join(folder, name)}" -o "${directory}/${name}"; get "${directory}/${name}" -o "${join(folder, `${name}-${security}`)}"; `,
      );
      const log = join(folder, `${security}.log`);
      const listed = await run({
        program: 'lftp',
        arguments: [
          '--norc',
          '-c',
          `debug -o "${log}" 9; set ftp:use-mode-z yes; ${lftpOpening(gateway.server(security))}${commands.join('')}cls -1 --basename "${directory}/"`,
        ],
      });
      assert.deepEqual(listed.trim().split('\n').sort(), [...contents.keys()].sort());
      assert.match(await readFile(log, 'utf8'), /MODE Z\r?\n<--- 200 Mode is deflate\./);
      for (const [name, content] of contents) {
        assert.deepEqual(await gateway.getObject(`${directory}/${name}`), content);
        assert.deepEqual(await readFile(join(folder, `${name}-${security}`)), content);
      }
    });
  }
});
