/**
 * An FTP client to be killed at any moment of its upload. Prints `sending` when it has its 150, and holds whatever connections
 * its plan leaves open until the end of the process. Arguments: control port, username, password, pathname, size in bytes,
 * plan, `clear` or `tls`.
 */
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { setTimeout as delay } from 'node:timers/promises';
import { bytesOf } from '../../s3/transfer.ts';
import { Dialogue } from '../../support/dialogue.ts';
import type { KillPlan } from './killed-clients.ts';

const [port, username, password, pathname, size, plan, security] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  KillPlan,
  string,
];
const isTls = security === 'tls';
const sliceBytes = 64 * 1024;

setInterval(() => undefined, 60_000);
const client = await Dialogue.open({ port: Number(port) });
await client.expect('220 Ready');
if (isTls) await client.startTls();
await client.says(`USER ${username}`, /^331 /);
await client.says(`PASS ${password}`, /^230 /);
if (isTls) await client.says('PROT P', /^200 /);
await client.says('TYPE I', /^200 /);
const raw = await client.passive();
raw.on('error', () => undefined);
await client.send(plan === 'pipelined-quit' ? `STOR ${pathname}\r\nQUIT\r\n` : `STOR ${pathname}\r\n`);
await client.expect(/^150 /);
let data = raw;
if (isTls) {
  data = connectTls({ socket: raw, rejectUnauthorized: false, servername: 'localhost' });
  data.on('error', () => undefined);
  await once(data, 'secureConnect');
}
process.stdout.write('sending\n');
if (plan === 'keep-alive') await client.send('NOOP\r\n');
const bytes = bytesOf(Number(size), 11);
const endsData = plan === 'full-speed' || plan === 'data-fin' || plan === 'quit' || plan === 'quit-close';
for (let start = 0; start < bytes.length; start += sliceBytes) {
  if (!data.write(bytes.subarray(start, start + sliceBytes))) await once(data, 'drain');
  // Slow enough to be killed in mid-file.
  if (!endsData) await delay(1);
}
if (endsData) {
  data.end();
  await once(data, 'finish');
}
if (plan === 'quit' || plan === 'quit-close') await client.send('QUIT\r\n');
if (plan === 'quit-close') client.destroy();
