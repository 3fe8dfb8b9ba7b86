/** Clients that know no UTF-8 find the files again that they stored, under the names they gave them. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { missing, run } from './client.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';

const name = '€ Prüfbericht “Größe”.txt';

const lftp = { name: 'lftp', probe: { program: 'lftp', arguments: ['--version'] } };
const python = { name: 'Python', probe: { program: 'python3', arguments: ['-c', 'import ftplib'] } };

const pythonScript = `
import ftplib, io, sys
port, name = int(sys.argv[1]), sys.argv[2]
ftp = ftplib.FTP(encoding='cp1252')
ftp.connect('127.0.0.1', port)
ftp.login('alice', 'secret')
ftp.storbinary('STOR ' + name, io.BytesIO(b'report'))
assert ftp.nlst() == [name], ftp.nlst()
assert [entry for entry, facts in ftp.mlsd()] == [name], list(ftp.mlsd())
assert ftp.size(name) == 6
received = []
ftp.retrbinary('RETR ' + name, received.append)
assert b''.join(received) == b'report', received
assert ftp.mkd('Müll') == '/Müll'
ftp.cwd('Müll')
assert ftp.pwd() == '/Müll', ftp.pwd()
ftp.cwd('..')
ftp.rename(name, 'Müll/ß')
assert ftp.nlst('Müll') == ['Müll/ß'], ftp.nlst('Müll')
ftp.delete('Müll/ß')
ftp.rmd('Müll')
ftp.quit()
`;

describe('with FILENAME_ENCODING=windows-1252', () => {
  let gateway: TestGateway;
  let folder: string;
  before(async () => {
    gateway = await startTestGateway({ filenameEncoding: 'windows-1252' });
    folder = await mkdtemp(join(tmpdir(), 'filename-encoding-'));
  });
  after(async () => {
    await gateway.close();
    await rm(folder, { recursive: true });
  });

  it('With FILENAME_ENCODING=windows-1252, ftplib of Python in cp1252 reads every name that it sent', async (t) => {
    const reason = await missing(python);
    if (reason !== undefined) {
      t.skip(reason);
      return;
    }
    const { controlPort } = gateway;
    await run({ program: 'python3', arguments: ['-c', pythonScript, String(controlPort), name] });
  });

  for (const [charset, useUtf8] of [
    ['CP1252', 'no'],
    ['CP1252', 'yes'],
    ['UTF-8', 'yes'],
  ] as const) {
    it(`With FILENAME_ENCODING=windows-1252, lftp with ftp:charset ${charset} and ftp:use-utf8 ${useUtf8} finds the file that it stored`, async (t) => {
      const reason = await missing(lftp);
      if (reason !== undefined) {
        t.skip(reason);
        return;
      }
      await writeFile(join(folder, name), 'report');
      const commands = [
        `set ftp:charset ${charset}; set ftp:use-utf8 ${useUtf8}; set file:charset UTF-8; set cmd:fail-exit yes`,
        `set ftp:ssl-allow no; set net:max-retries 1; set net:timeout 10`,
        `open -u alice,secret ftp://127.0.0.1:${gateway.controlPort}`,
        ...(charset === 'UTF-8' ? ['quote OPTS UTF8 ON'] : []),
        `lcd "${folder}"`,
        `put "${name}"`,
        'cls -1',
        `get -O "${folder}" "${name}" -o fetched`,
        `rm "${name}"`,
        'bye',
      ];
      const output = await run({ program: 'lftp', arguments: ['--norc', '-c', commands.join('\n')] });
      assert.ok(output.split('\n').includes(name), output);
      assert.equal(await readFile(join(folder, 'fetched'), 'utf8'), 'report');
      await rm(join(folder, 'fetched'));
      assert.deepEqual(gateway.filesystem.pathnames(), []);
    });
  }
});
