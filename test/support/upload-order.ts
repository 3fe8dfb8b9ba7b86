/** Plays an order of arrivals against a gateway: each is sent when the gateway has read the one before. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Filesystem } from '../../src/filesystem/filesystem.ts';
import type { Arrival, Order } from '../ftp/control/upload-orders.ts';
import { Dialogue } from './dialogue.ts';
import type { TestGateway } from './gateway.ts';

/**
 * The gateway runs in this process, and loopback delivers at once: what is sent has been read after a few turns of the event
 * loop, TLS included.
 */
const turnsUntilRead = 25;

/** Holds the commits of a filesystem back, so that what arrives during a commit arrives in its middle. */
export class CommitGate {
  #opened = Promise.withResolvers<undefined>();

  close(): void {
    this.#opened = Promise.withResolvers<undefined>();
  }

  open(): void {
    this.#opened.resolve(undefined);
  }

  readonly wrap = (filesystem: Filesystem): Filesystem =>
    new Proxy(filesystem, {
      get: (target, name) => {
        if (name !== 'openUpload') {
          const value: unknown = Reflect.get(target, name);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        }
        const openUpload: Filesystem['openUpload'] = async (pathname, options) => {
          const upload = await target.openUpload(pathname, options);
          return {
            write: (bytes) => upload.write(bytes),
            prepare: () => upload.prepare(),
            commit: async () => {
              await this.#opened.promise;
              options.signal.throwIfAborted();
              await upload.commit();
            },
            abort: (reason) => upload.abort(reason),
          };
        };
        return openUpload;
      },
    });
}

export type UploadOnGateway = {
  readonly gateway: Pick<TestGateway, 'nextEvent'>;
  readonly gate: CommitGate;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly isTls: boolean;
};

/** Uploads the bytes as the order says, and checks outcome, log line and replies; the caller checks the file. */
export async function playOrder(
  { gateway, gate, port, username, password, isTls }: UploadOnGateway,
  { arrivals, outcome }: Order,
  pathname: string,
  bytes: Uint8Array,
): Promise<void> {
  gate.close();
  const client = await Dialogue.open({ port });
  await client.expect('220 Ready');
  const control = client.socket;
  if (isTls) await client.startTls();
  await client.says(`USER ${username}`, /^331 /);
  await client.says(`PASS ${password}`, /^230 /);
  if (isTls) await client.says('PROT P', /^200 /);
  await client.says('TYPE I', /^200 /);
  const rawData = ignoringErrors(await client.passive());
  await client.says(`STOR ${pathname}`, /^150 /);
  let data = rawData;
  if (isTls) {
    data = ignoringErrors(
      connectTls({ socket: rawData, rejectUnauthorized: false, servername: 'localhost' }),
    );
    await once(data, 'secureConnect');
  }
  const ended = gateway.nextEvent('transfer', (transfer) => transfer.pathname === pathname);
  const { sessionId } = await gateway.nextEvent('session-opened');
  const sessionClosed = gateway.nextEvent('session-closed', (session) => session.sessionId === sessionId);
  await new Promise<void>((resolve) => data.write(bytes, () => resolve()));
  await turns();

  for (const arrival of arrivals) await arrive(arrival, { client, control, data, rawData });
  gate.open();
  const transfer = await ended;
  assert.equal(transfer.outcome, outcome === 'published' ? 'completed' : 'aborted');
  if (outcome === 'published') assert.equal(transfer.sizeBytes, bytes.byteLength);
  if (!arrivals.some((arrival) => arrival.startsWith('control'))) {
    await client.expect(outcome === 'published' ? /^226 / : /^426 /);
  }
  client.destroy();
  rawData.destroy();
  await sessionClosed;
}

type Connections = {
  readonly client: Dialogue;
  readonly control: Socket;
  readonly data: Socket;
  readonly rawData: Socket;
};

async function arrive(arrival: Arrival, { client, control, data, rawData }: Connections): Promise<void> {
  switch (arrival) {
    case 'data FIN':
      if (!data.destroyed) {
        data.end();
        // The gateway closes its side when it has read the end, or has given up before.
        if (!data.readableEnded) await Promise.race([once(data, 'end'), once(data, 'close')]);
      }
      break;
    case 'data RST':
      if (!rawData.destroyed) rawData.resetAndDestroy();
      break;
    case 'control FIN':
      client.socket.end();
      break;
    case 'control RST':
      control.resetAndDestroy();
      break;
    case 'QUI':
      await client.send('QUI');
      break;
    case 'QUIT':
    case 'NOOP':
    case 'ABOR':
      await client.send(`${arrival}\r\n`);
  }
  await turns();
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < turnsUntilRead; turn++) await nextTurn();
}

/** What becomes of the data connection is for the gateway to tell. */
function ignoringErrors(socket: Socket): Socket {
  socket.on('error', () => undefined);
  return socket.resume();
}
