import { connect } from 'node:net';
import { Networks } from '../../../src/net/networks.ts';
import { closed, Dialogue } from '../../support/dialogue.ts';
import { greeted, loggedIn, type Row, type Scene } from './row.ts';

const loginReply = async (scene: Scene, username: string, password: string): Promise<string> => {
  const client = await greeted(scene);
  await client.says(`USER ${username}`, /^331 /);
  return client.ask(`PASS ${password}`);
};

export const sessionRows: readonly Row[] = [
  {
    cause: 'QUIT',
    when: 'a client sends QUIT',
    event: 'session-closed',
    async provoke(scene) {
      await (await loggedIn(scene)).quit();
    },
    fields: { username: 'alice', clientAddress: '127.0.0.1' },
  },
  {
    cause: 'CLIENT-CLOSED',
    when: 'a client closes its control connection without QUIT',
    event: 'session-closed',
    async provoke(scene) {
      (await loggedIn(scene)).socket.end();
    },
  },
  {
    cause: 'CONTROL-LOST',
    when: 'a control connection is reset',
    event: 'session-closed',
    async provoke(scene) {
      (await loggedIn(scene)).socket.resetAndDestroy();
    },
  },
  {
    cause: 'IDLE-TIMEOUT',
    when: 'a session sends nothing',
    options: { idleTimeoutMs: 50 },
    afterSeconds: 0.05,
    event: 'session-closed',
    provoke: async (scene) => (await loggedIn(scene)).reply(),
    reply: /^421 Idle for too long/,
  },
  {
    cause: 'LOGIN-TIMEOUT',
    when: 'a client does not log in',
    options: { loginTimeoutMs: 50 },
    afterSeconds: 0.05,
    event: 'session-closed',
    provoke: async (scene) => (await greeted(scene)).reply(),
    reply: /^421 The login took too long/,
  },
  {
    cause: 'DRAIN',
    when: 'the gateway stops',
    event: 'session-closed',
    async provoke(scene) {
      const client = await loggedIn(scene);
      const drained = scene.gateway.drain(0);
      const reply = await client.reply();
      client.destroy();
      await drained;
      return reply;
    },
    reply: /^421 The gateway is stopping/,
  },
  {
    cause: 'PROXY-HEADER',
    when: 'a connection has no PROXY header where one is expected',
    options: { proxyProtocol: 'v2', proxyProtocolFrom: Networks.parse('127.0.0.0/8'), activeMode: 'off' },
    event: 'session-refused',
    async provoke(scene) {
      const client = await greeted(scene);
      await client.send('USER alice\r\n');
      await client.expectClosed();
    },
  },
  {
    cause: 'PROXY-SOURCE',
    when: 'a connection with a PROXY header comes from elsewhere than the load balancer',
    options: { proxyProtocol: 'v2', proxyProtocolFrom: Networks.parse('127.9.0.0/16'), activeMode: 'off' },
    event: 'session-refused',
    async provoke({ gateway, keep }) {
      const client = keep(await Dialogue.open({ port: gateway.controlPort }));
      await client.expectClosed();
    },
  },
  {
    cause: 'LIMIT-SESSIONS',
    when: 'the gateway has all the sessions it may have',
    options: { maxSessions: 1 },
    event: 'session-refused',
    async provoke(scene) {
      await greeted(scene);
      return scene.keep(await Dialogue.open({ port: scene.gateway.controlPort })).reply();
    },
    reply: /^421 Too many sessions/,
  },
  {
    cause: 'LIMIT-ADDRESS',
    when: 'an address has all the sessions it may have',
    options: { maxSessionsPerAddress: 1 },
    event: 'session-refused',
    async provoke(scene) {
      await greeted(scene);
      return scene.keep(await Dialogue.open({ port: scene.gateway.controlPort })).reply();
    },
    reply: /^421 Too many sessions from your address/,
  },
  {
    cause: 'LIMIT-USER',
    when: 'a user has all the sessions they may have',
    options: { maxSessionsPerUser: 1 },
    event: 'login',
    async provoke(scene) {
      await loggedIn(scene);
      return loginReply(scene, 'alice', 'secret');
    },
    reply: /^421 Too many sessions of this user/,
  },
  {
    cause: 'LIMIT-COMMANDS',
    when: 'a client sends overlong lines',
    event: 'session-closed',
    async provoke(scene) {
      const client = await greeted(scene);
      await client.send(`${'x'.repeat(20_000)}\r\n`.repeat(8));
      for (let line = 0; line < 8; line++) await client.expect(/^500 /);
      return client.reply();
    },
    reply: /^421 Too many overlong command lines/,
  },
  {
    cause: 'LOGIN-PASSWORD',
    when: 'the password is wrong',
    afterSeconds: 0.25,
    event: 'login',
    provoke: (scene) => loginReply(scene, 'alice', 'wrong'),
    fields: { username: 'alice', outcome: 'refused' },
    reply: /^530 Login incorrect/,
  },
  {
    cause: 'LOGIN-USER',
    when: 'no user has the name',
    afterSeconds: 0.25,
    event: 'login',
    provoke: (scene) => loginReply(scene, 'mallory', 'secret'),
    reply: /^530 Login incorrect/,
  },
  {
    cause: 'LOGIN-ENTRY',
    when: 'the entry of the user is invalid',
    afterSeconds: 0.25,
    options: { authenticate: () => Promise.resolve('LOGIN-ENTRY') },
    event: 'login',
    provoke: (scene) => loginReply(scene, 'alice', 'secret'),
    reply: /^530 Login incorrect/,
  },
  {
    cause: 'LOGIN-ATTEMPTS',
    when: 'a connection has had all the failed logins it may have',
    afterSeconds: 0.25,
    options: { maxLoginAttempts: 1 },
    event: 'session-closed',
    async provoke(scene) {
      const client = await greeted(scene);
      await client.says('USER alice', /^331 /);
      await client.says('PASS wrong', /^530 /);
      await client.expectClosed();
    },
  },
  {
    cause: 'LOGIN-THROTTLED',
    when: 'an address has had too many failed logins',
    afterSeconds: 5.25,
    options: { maxLoginFailures: 1, maxLoginAttempts: 10 },
    event: 'login',
    async provoke(scene) {
      await loginReply(scene, 'alice', 'wrong');
      return loginReply(scene, 'alice', 'secret');
    },
    fields: { outcome: 'throttled' },
    reply: /^530 Too many failed logins/,
  },
  {
    cause: 'LIMIT-LOGINS',
    when: 'too many logins wait to be checked',
    afterSeconds: 2,
    options: { authenticate: () => new Promise(() => undefined) },
    event: 'login',
    async provoke(scene) {
      for (let waiting = 0; waiting < 202; waiting++) {
        const client = await greeted(scene);
        await client.says('USER alice', /^331 /);
        await client.send(`PASS ${waiting}\r\n`);
      }
      return loginReply(scene, 'alice', 'secret');
    },
    reply: /^421 Too many logins are being checked/,
  },
  {
    cause: 'LOGIN-UNCHECKED',
    when: 'the users cannot be looked up',
    options: { authenticate: () => Promise.reject(new Error('no users')) },
    event: 'login',
    provoke: (scene) => loginReply(scene, 'alice', 'secret'),
    fields: { outcome: 'failed' },
    reply: /^451 The login cannot be checked/,
  },
  {
    cause: 'INTERNAL',
    when: 'a defect throws an unknown error',
    options: {
      filesystemFor: () => ({ removeFile: () => Promise.reject(new Error('a defect')) }) as never,
    },
    event: 'command',
    provoke: async (scene) => (await loggedIn(scene)).ask('DELE f'),
    fields: { verb: 'DELE', pathname: '/f', outcome: 'failed' },
    reply: /^451 Requested action aborted: local error/,
  },
  {
    cause: 'COMMAND-INVALID',
    when: 'a client sends a password in the place of a command',
    event: 'command',
    async provoke(scene) {
      const client = await greeted(scene);
      await client.says('my-secret-password', '500 Command not understood.');
    },
    fields: { verb: 'unknown', outcome: 'refused', argument: undefined },
  },
  {
    cause: 'PASV-STRAY',
    when: 'a scanner connects to a passive port',
    event: 'stray-data-connection',
    async provoke({ gateway, keep }) {
      const socket = keep(connect({ port: gateway.passivePorts[0]!, host: '127.0.0.1' }));
      await closed(socket);
    },
  },
];
