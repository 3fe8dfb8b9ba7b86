import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { closed, Dialogue } from '../../support/dialogue.ts';
import { greeted, type Row, type Scene } from './row.ts';

/** A connection whose client has sent AUTH TLS, and reads no more replies. */
async function beforeHandshake(scene: Scene): Promise<Dialogue> {
  const client = await greeted(scene);
  await client.says('AUTH TLS', /^234 /);
  return client;
}

/** A record of TLS with an alert: fatal, and its number (RFC 8446 6). */
const alertRecord = (alert: number): Buffer => Buffer.from([0x15, 3, 3, 0, 2, 2, alert]);

/** Begins a handshake with Node's own ClientHello, and sends an alert in the place of what would follow. */
async function sendAlert(scene: Scene, alert: number): Promise<void> {
  const client = await beforeHandshake(scene);
  await client.send(await clientHello());
  await client.send(alertRecord(alert));
  await client.expectClosed().catch(() => undefined);
}

/** The first bytes that a TLS 1.2 client sends. */
async function clientHello(): Promise<Buffer> {
  const { createServer } = await import('node:net');
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const accepted = once(server, 'connection');
  const client = connectTls({ port, host: '127.0.0.1', maxVersion: 'TLSv1.2', rejectUnauthorized: false });
  client.on('error', () => undefined);
  const [socket] = (await accepted) as [ReturnType<typeof connect>];
  const [hello] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return hello;
}

/** A session under TLS with PROT P, and its data connection, in clear as yet. */
async function protectedData(scene: Scene) {
  scene.gateway.filesystem.putFile('/file', 'content');
  const client = await greeted(scene);
  await client.startTls();
  await client.says('USER alice', /^331 /);
  await client.says('PASS secret', /^230 /);
  await client.says('PROT P', /^200 /);
  const data = scene.keep(await client.passive());
  data.on('error', () => undefined);
  await client.says('RETR file', /^150 /);
  return { client, data };
}

export const tlsRows: readonly Row[] = [
  {
    cause: 'TLS-REQUIRED',
    when: 'a client logs in without TLS where TLS is required',
    options: { tls: 'required' },
    event: 'command',
    provoke: async (scene) => (await greeted(scene)).ask('USER alice'),
    fields: { verb: 'USER', argument: undefined },
    reply: /^530 TLS is required/,
  },
  {
    cause: 'TLS-PROT',
    when: 'a client asks for a listing without PROT P where TLS is required',
    options: { tls: 'required' },
    event: 'command',
    async provoke(scene) {
      const client = await greeted(scene);
      await client.startTls();
      await client.says('USER alice', /^331 /);
      await client.says('PASS secret', /^230 /);
      await client.says('PASV', /^227 /);
      return client.ask('LIST');
    },
    reply: /^521 /,
  },
  {
    cause: 'TLS-NOT-STARTED',
    when: 'a client sends commands in clear after AUTH TLS',
    options: { tls: 'optional' },
    event: 'tls-failed',
    async provoke(scene) {
      const client = await beforeHandshake(scene);
      await client.send('USER alice\r\nPASS secret\r\n');
      await client.expectClosed().catch(() => undefined);
    },
    fields: { connection: 'control', clientAddress: '127.0.0.1' },
  },
  {
    cause: 'TLS-NOT-STARTED',
    when: 'a client sends commands in clear to the implicit-TLS port',
    options: { tls: 'optional', implicitTls: true },
    event: 'tls-failed',
    async provoke({ gateway, keep }) {
      const socket = keep(connect({ port: gateway.implicitTlsPort!, host: '127.0.0.1' }));
      socket.write('USER alice\r\n');
      socket.resume();
      await closed(socket);
    },
    fields: { connection: 'control' },
  },
  {
    cause: 'TLS-NOT-STARTED',
    when: 'a data connection stays in clear under PROT P',
    options: { tls: 'optional' },
    event: 'tls-failed',
    async provoke(scene) {
      const { client, data } = await protectedData(scene);
      data.end('in clear');
      return client.reply();
    },
    fields: { connection: 'data' },
    reply: /^425 A data connection came, but in clear/,
  },
  {
    cause: 'TLS-VERSION',
    when: 'a client supports no TLS version that the gateway accepts',
    options: { tls: 'optional', tlsMinVersion: 'TLSv1.3' },
    event: 'tls-failed',
    async provoke(scene) {
      const client = await beforeHandshake(scene);
      await client.handshake({ maxVersion: 'TLSv1.2' }).catch(() => undefined);
    },
  },
  {
    cause: 'TLS-CIPHER',
    when: 'a client supports no cipher that the gateway accepts',
    options: { tls: 'optional' },
    event: 'tls-failed',
    async provoke(scene) {
      const client = await beforeHandshake(scene);
      await client.handshake({ maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }).catch(() => undefined);
    },
  },
  {
    cause: 'TLS-CERTIFICATE',
    when: 'a client does not trust the authority of the certificate',
    options: { tls: 'optional' },
    event: 'tls-failed',
    async provoke(scene) {
      await sendAlert(scene, 48);
    },
    fields: { alert: 'unknown_ca' },
  },
  {
    cause: 'TLS-EXPIRED',
    when: 'a client finds the certificate expired',
    options: { tls: 'optional' },
    event: 'tls-failed',
    async provoke(scene) {
      await sendAlert(scene, 45);
    },
    fields: { alert: 'certificate_expired' },
  },
  {
    cause: 'TLS-ALERT',
    when: 'a client ends the handshake for another reason',
    options: { tls: 'optional' },
    event: 'tls-failed',
    async provoke(scene) {
      await sendAlert(scene, 80);
    },
    fields: { alert: 'internal_error' },
  },
  {
    cause: 'TLS-CUT',
    when: 'the connection ends in the middle of the handshake',
    options: { tls: 'optional' },
    event: 'tls-failed',
    async provoke(scene) {
      const client = await beforeHandshake(scene);
      await client.send(await clientHello());
      client.socket.end();
    },
  },
  {
    cause: 'TLS-UNUSED',
    when: 'a client closes its control connection after the handshake and CLNT, as lftp does when it distrusts the certificate',
    options: { tls: 'optional' },
    event: 'tls-failed',
    async provoke(scene) {
      const client = await beforeHandshake(scene);
      (await client.handshake()).end('CLNT lftp/4.9.2\r\n');
    },
    fields: { connection: 'control', clientAddress: '127.0.0.1' },
  },
  {
    cause: 'TLS-UNUSED',
    when: 'a client of implicit TLS closes after the handshake without an alert',
    options: { tls: 'optional', implicitTls: true },
    event: 'tls-failed',
    async provoke({ gateway, keep }) {
      const client = keep(await Dialogue.open({ port: gateway.implicitTlsPort!, implicitTls: true }));
      await client.expect('220 Ready');
      client.destroy();
    },
    fields: { connection: 'control', clientAddress: '127.0.0.1' },
  },
  {
    cause: 'TLS-PROTOCOL',
    when: 'a client sends a record that TLS does not know',
    options: { tls: 'optional' },
    event: 'tls-failed',
    async provoke(scene) {
      const client = await beforeHandshake(scene);
      const hello = Buffer.from(await clientHello());
      // The length of the message, beyond that of the record.
      hello.writeUInt8(0, 6);
      hello.writeUInt16BE(1, 7);
      await client.send(hello);
      await client.expectClosed().catch(() => undefined);
    },
  },
  {
    cause: 'TLS-TIMEOUT',
    when: 'a handshake takes longer than a login may',
    options: { tls: 'optional', loginTimeoutMs: 100 },
    afterSeconds: 0.1,
    event: 'tls-failed',
    async provoke(scene) {
      const client = await beforeHandshake(scene);
      await client.send(await clientHello());
    },
  },
  {
    cause: 'TLS-NOT-RESUMED',
    when: 'a data connection does not resume the TLS session where it must',
    options: { tls: 'optional', tlsDataResumption: 'required' },
    event: 'transfer',
    async provoke(scene) {
      const { client, data } = await protectedData(scene);
      const secured = connectTls({ socket: data, rejectUnauthorized: false });
      secured.on('error', () => undefined);
      return client.reply();
    },
    fields: { outcome: 'aborted', tls: true },
    reply: /^522 The data connection must resume/,
  },
  {
    cause: 'TLS-INJECTION',
    when: 'commands in clear follow AUTH TLS in one packet',
    options: { tls: 'optional' },
    event: 'tls-failed',
    async provoke(scene) {
      const client = await greeted(scene);
      await client.send('AUTH TLS\r\nUSER alice\r\n');
      await client.expect(/^234 /);
      await client.expectClosed();
    },
  },
];
