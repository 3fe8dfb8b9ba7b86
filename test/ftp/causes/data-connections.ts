import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { Networks } from '../../../src/net/networks.ts';
import { closed, Dialogue } from '../../support/dialogue.ts';
import { proxyHeader } from '../../support/proxy-header.ts';
import { loggedIn, type Row, type Scene } from './row.ts';

/** EPSV, and a client's connection to its port from the given address. */
async function connectFrom(scene: Scene, client: Dialogue, localAddress: string): Promise<void> {
  const port = Number(/\|(\d+)\|/.exec(await client.ask('EPSV'))?.[1]);
  const socket = scene.keep(connect({ host: '127.0.0.1', port, localAddress }));
  await closed(socket);
}

/** A port that drops connections as a firewall does: the queue of its process, which is stopped, is full. */
async function silentPort({ keep }: Scene): Promise<number> {
  const program =
    "const s = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(s.address().port))";
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  keep({ destroy: () => child.kill('SIGKILL') });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  child.kill('SIGSTOP');
  const port = Number(line);
  // Linux queues one connection more than the backlog.
  for (let queued = 0; queued < 2; queued++) {
    const socket = keep(connect({ port, host: '127.0.0.1' }));
    socket.on('error', () => undefined);
    await once(socket, 'connect');
  }
  return port;
}

/** STOR with these bytes; the reply after the 150. */
async function stores(scene: Scene, client: Dialogue, bytes: Uint8Array | string): Promise<string> {
  const data = scene.keep(await client.passive());
  await client.says('STOR new', /^150 /);
  data.end(bytes);
  data.resume();
  return client.reply();
}

export const dataRows: readonly Row[] = [
  {
    cause: 'PASV-NONE',
    when: 'no data connection comes',
    options: { dataConnectionTimeoutMs: 30 },
    afterSeconds: 0.03,
    event: 'transfer',
    async provoke(scene) {
      const client = await loggedIn(scene);
      await client.says('PASV', /^227 /);
      await client.says('RETR file', /^150 /);
      return client.reply();
    },
    fields: { dataMode: 'passive', outcome: 'aborted', clientAddress: '127.0.0.1' },
    reply:
      /^425 No connection from 127\.0\.0\.1 reached port \d+ within 1 s; a firewall may block it\. Allow TCP \d/,
  },
  {
    cause: 'PASV-NONE',
    when: 'a client gives up because no data connection could be made',
    afterSeconds: 1,
    event: 'transfer',
    async provoke(scene) {
      const client = await loggedIn(scene);
      await client.says('PASV', /^227 /);
      await client.says('RETR file', /^150 /);
      // The gateway compares times, and a client that leaves sooner may have other reasons.
      await new Promise((resolve) => setTimeout(resolve, 1_050));
      client.destroy();
    },
    fields: { detail: 'the client gave up (CLIENT-CLOSED) before a data connection was made' },
  },
  {
    cause: 'CLIENT-CLOSED',
    when: 'a client closes its control connection during a download',
    event: 'transfer',
    async provoke(scene) {
      scene.gateway.filesystem.putFile('/large', Buffer.alloc(32 * 1024 * 1024));
      const client = await loggedIn(scene);
      await client.says('TYPE I', /^200 /);
      const data = scene.keep(await client.passive());
      await client.says('RETR large', /^150 /);
      client.destroy();
      data.on('error', () => undefined);
    },
    fields: { outcome: 'aborted' },
  },
  {
    cause: 'PASV-ADDRESS',
    when: 'the data connection comes from another address',
    options: { dataConnectionTimeoutMs: 500 },
    afterSeconds: 0.5,
    event: 'transfer',
    async provoke(scene) {
      const client = await loggedIn(scene);
      await connectFrom(scene, client, '127.0.0.9');
      await client.says('RETR file', /^150 /);
      return client.reply();
    },
    reply: /^425 The data connection to port \d+ came from another address than 127\.0\.0\.1/,
  },
  {
    cause: 'PASV-ADDRESS',
    when: 'a connection from another address reaches a port that waits',
    event: 'stray-data-connection',
    async provoke(scene) {
      await connectFrom(scene, await loggedIn(scene), '127.0.0.9');
    },
    fields: { clientAddress: '127.0.0.9', expectedAddress: '127.0.0.1' },
  },
  {
    cause: 'PASV-PRIVATE',
    when: 'a client with a public address makes its data connection by a private one',
    options: { proxyProtocol: 'v2', proxyProtocolFrom: Networks.parse('127.0.0.0/8'), activeMode: 'off' },
    event: 'stray-data-connection',
    async provoke(scene) {
      const preamble = proxyHeader(['203.0.113.5', 4711], ['203.0.113.80', 21]);
      const client = scene.keep(await Dialogue.logIn({ port: scene.gateway.controlPort, preamble }));
      await connectFrom(scene, client, '127.0.0.1');
    },
    fields: { clientAddress: '127.0.0.1', expectedAddress: '203.0.113.5' },
  },
  {
    cause: 'PASV-LATE',
    when: 'the data connection comes after its time',
    options: { dataConnectionTimeoutMs: 30, passivePorts: [0] },
    afterSeconds: 0.03,
    event: 'stray-data-connection',
    async provoke(scene) {
      const client = await loggedIn(scene);
      await client.says('PASV', /^227 /);
      await client.says('RETR file', /^150 /, /^425 /);
      const port = scene.gateway.passivePorts[0]!;
      const socket = scene.keep(connect({ host: '127.0.0.1', port, localAddress: '127.0.0.1' }));
      await closed(socket);
    },
    fields: { clientAddress: '127.0.0.1' },
  },
  {
    cause: 'PASV-EXHAUSTED',
    when: 'every passive port waits for a connection of the address',
    options: { passivePorts: [0], passivePortWaitMs: 30 },
    afterSeconds: 0.03,
    event: 'passive-ports-exhausted',
    async provoke(scene) {
      await (await loggedIn(scene)).says('PASV', /^227 /);
      return (await loggedIn(scene)).ask('PASV');
    },
    reply: /^425 All passive ports wait/,
  },
  {
    cause: 'ACTIVE-REFUSED',
    when: 'the data port of the client is closed',
    event: 'transfer',
    async provoke(scene) {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      server.close();
      const client = await loggedIn(scene);
      await client.says(`PORT 127,0,0,1,${port >> 8},${port & 255}`, /^200 /);
      await client.says('RETR file', /^150 /);
      return client.reply();
    },
    fields: { dataMode: 'active' },
    reply: /^425 The connection to 127\.0\.0\.1 port \d+ failed \(ECONNREFUSED\)\. Use PASV/,
  },
  {
    cause: 'ACTIVE-TIMEOUT',
    when: 'the data port of the client does not answer',
    options: { dataConnectionTimeoutMs: 100 },
    afterSeconds: 0.1,
    event: 'transfer',
    async provoke(scene) {
      const port = await silentPort(scene);
      const client = await loggedIn(scene);
      await client.says(`PORT 127,0,0,1,${port >> 8},${port & 255}`, /^200 /);
      await client.says('RETR file', /^150 /);
      return client.reply();
    },
    reply: /^425 127\.0\.0\.1 port \d+ did not answer within 1 s; a firewall may block it\. Use PASV/,
  },
  {
    cause: 'ABOR',
    when: 'a client aborts its upload',
    event: 'transfer',
    async provoke(scene) {
      const client = await loggedIn(scene);
      const data = scene.keep(await client.passive());
      data.on('error', () => undefined);
      await client.says('STOR new', /^150 /);
      data.write('begin');
      return client.ask('ABOR');
    },
    reply: /^426 Connection closed; transfer aborted/,
  },
  {
    cause: 'DATA-LOST',
    when: 'a data connection is reset',
    event: 'transfer',
    async provoke(scene) {
      const client = await loggedIn(scene);
      const data = scene.keep(await client.passive());
      await client.says('STOR new', /^150 /);
      data.resetAndDestroy();
      return client.reply();
    },
    reply: /^426 The data connection was closed/,
  },
  {
    cause: 'DATA-STALLED',
    when: 'no byte comes for the stall timeout',
    options: { stallTimeoutMs: 50 },
    afterSeconds: 0.05,
    event: 'transfer',
    async provoke(scene) {
      const client = await loggedIn(scene);
      const data = scene.keep(await client.passive());
      data.on('error', () => undefined);
      await client.says('STOR new', /^150 /);
      return client.reply();
    },
    reply: /^426 No data moved for 1 s/,
  },
  {
    cause: 'DATA-DEFLATE',
    when: 'what comes in MODE Z is no deflate stream',
    event: 'transfer',
    async provoke(scene) {
      const client = await loggedIn(scene);
      await client.says('MODE Z', /^200 /);
      return stores(scene, client, 'not deflated');
    },
    reply: /^426 The data are not a whole deflate stream/,
  },
  {
    cause: 'ALLO-SHORT',
    when: 'fewer bytes come than ALLO announced',
    event: 'transfer',
    async provoke(scene) {
      const client = await loggedIn(scene);
      await client.says('TYPE I', /^200 /);
      await client.says('ALLO 5', /^200 /);
      return stores(scene, client, 'abc');
    },
    fields: { sizeBytes: 3 },
    reply: /^426 ALLO announced 5 bytes, 3 came/,
  },
  {
    cause: 'FILE-OFFSET',
    when: 'a download begins behind the end of the file',
    event: 'transfer',
    async provoke(scene) {
      const client = await loggedIn(scene);
      await client.says('TYPE I', /^200 /);
      await client.says('REST 100', /^350 /);
      await client.says('PASV', /^227 /);
      return client.ask('RETR file');
    },
    fields: { outcome: 'failed' },
    reply: /^554 /,
  },
];
