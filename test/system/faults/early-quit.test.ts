/**
 * Clients that do not wait for their 226: each sends its file, closes the data connection, and at once says something more.
 * Small files and multipart uploads, in clear and under TLS, on the test's S3 server.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import type { Security } from '../clients/client.ts';
import { bytesOf, digest, mib } from '../../s3/transfer.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startS3Gateway, type S3Gateway } from '../../support/s3-gateway.ts';

const files = [
  { size: '100 bytes', bytes: bytesOf(100, 1) },
  { size: '12 MiB', bytes: bytesOf(12 * mib, 2) },
] as const;

const farewells: readonly {
  readonly title: string;
  /** Node resets no TLS socket, only the TCP socket below it, which an implicit-TLS client does not show. */
  readonly resetsTcp?: true;
  readonly bidFarewell: (client: Dialogue, control: Socket) => Promise<void>;
}[] = [
  {
    title: 'QUIT, reads one reply, which is 226, and closes',
    async bidFarewell(client) {
      await client.send('QUIT\r\n');
      await client.expect(/^226 /);
      client.destroy();
    },
  },
  {
    title: 'QUIT and closes at once',
    async bidFarewell(client) {
      await client.send('QUIT\r\n');
      client.destroy();
    },
  },
  {
    title: 'QUIT and resets the control connection at once',
    resetsTcp: true,
    async bidFarewell(client, control) {
      await client.send('QUIT\r\n');
      control.resetAndDestroy();
    },
  },
  {
    title: 'QUIT, closes only its own side, and reads 226 and 221',
    async bidFarewell(client) {
      client.socket.end('QUIT\r\n');
      await client.expect(/^226 /, '221 Goodbye.');
      await client.expectClosed();
    },
  },
  {
    title: 'NOOP, reads 226 and 200, then QUIT, and closes',
    async bidFarewell(client) {
      await client.send('NOOP\r\n');
      await client.expect(/^226 /, /^200 /);
      await client.send('QUIT\r\n');
      client.destroy();
    },
  },
  {
    title: 'QUIT 30 ms later, and closes',
    async bidFarewell(client) {
      await delay(30);
      await client.send('QUIT\r\n');
      client.destroy();
    },
  },
];

describe('a client that does not wait for 226', () => {
  let gateway: S3Gateway;
  let count = 0;

  before(async () => {
    gateway = await startS3Gateway();
  });
  after(() => gateway.close());

  for (const security of ['plain', 'explicit', 'implicit'] as const) {
    for (const { size, bytes } of files) {
      for (const { title, resetsTcp, bidFarewell } of farewells) {
        if (resetsTcp && security === 'implicit') continue;
        it(`A client that does not wait for the 226 has its file stored: ${security}, ${size}, and after the FIN ${title}`, async () => {
          const pathname = `/early-${++count}.bin`;
          const ended = gateway.nextEvent('transfer', (transfer) => transfer.pathname === pathname);
          const { client, control, data } = await openUpload(gateway, security, pathname);
          data.end(bytes);
          await once(data, 'finish');
          await bidFarewell(client, control);
          const { outcome, sizeBytes } = await ended;
          assert.deepEqual({ outcome, sizeBytes }, { outcome: 'completed', sizeBytes: bytes.byteLength });
          assert.equal(digest(await gateway.getObject(pathname)), digest(bytes));
        });
      }
    }
  }
});

/** A session whose STOR was answered with 150, the TCP socket of its control connection, and its data connection. */
async function openUpload(
  gateway: S3Gateway,
  security: Security,
  pathname: string,
): Promise<{ readonly client: Dialogue; readonly control: Socket; readonly data: Socket }> {
  const { port, username, password } = gateway.server(security);
  const client = await Dialogue.open({ port, ...(security === 'implicit' && { implicitTls: true }) });
  await client.expect('220 Ready');
  const control = client.socket;
  if (security === 'explicit') await client.startTls();
  await client.says(`USER ${username}`, /^331 /);
  await client.says(`PASS ${password}`, /^230 /);
  if (security !== 'plain') await client.says('PROT P', /^200 /);
  await client.says('TYPE I', /^200 /);
  const raw = await client.passive();
  await client.says(`STOR ${pathname}`, /^150 /);
  if (security === 'plain') return { client, control, data: ignoringErrors(raw) };
  const data = connectTls({ socket: raw, rejectUnauthorized: false, servername: 'localhost' });
  await once(data, 'secureConnect');
  return { client, control, data: ignoringErrors(data) };
}

/** What becomes of the data connection is for the gateway to tell. */
function ignoringErrors(socket: Socket): Socket {
  socket.on('error', () => undefined);
  return socket.resume();
}
