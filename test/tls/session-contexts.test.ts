import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import {
  connect,
  createSecureContext,
  type ConnectionOptions,
  type SecureVersion,
  type TLSSocket,
} from 'node:tls';
import { constants } from 'node:crypto';
import { defaultCiphers, type Certificate, type TlsOptions } from '../../src/tls/context.ts';
import { maxIdleContexts, SessionContexts, type SessionContext } from '../../src/tls/session-contexts.ts';
import { createCertificate, testCertificate } from '../support/certificate.ts';
import { LeakCheck } from '../support/leak-check.ts';

const options: TlsOptions = {
  tlsMinVersion: 'TLSv1.2',
  tlsCiphers: defaultCiphers,
  tlsDataResumption: 'optional',
};
const leaks = new LeakCheck();
let certificate: Certificate;
let server: Server;

before(async () => {
  certificate = await testCertificate();
  server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
});
after(async () => {
  server.close();
  await leaks.assertNothingLeft();
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  describe(`recycled contexts with ${version}`, () => {
    it(`A context that a former session has used refuses its tickets over ${version}, and accepts those of its own session`, async () => {
      const contexts = new SessionContexts({ current: certificate }, options);
      const former = contexts.take();
      const { tickets } = await shakeHands(former, version);
      assert.ok(tickets.length > 0);
      former.release();
      assert.equal(contexts.idleCount, 1);

      const session = contexts.take();
      assert.equal(contexts.idleCount, 0);
      for (const ticket of tickets)
        assert.equal((await shakeHands(session, version, { session: ticket })).isResumed, false);
      session.release();

      const next = contexts.take();
      const own = await shakeHands(next, version);
      assert.equal(own.isResumed, false);
      assert.equal((await shakeHands(next, version, { session: own.tickets.at(-1) })).isResumed, true);
      for (const ticket of tickets)
        assert.equal((await shakeHands(next, version, { session: ticket })).isResumed, false);
      next.release();
      assert.equal(contexts.idleCount, 1);
    });

    it(`A ticket of a former session is refused over ${version} by 200 sessions that use its context one after another`, async () => {
      const contexts = new SessionContexts({ current: certificate }, options);
      const collected: Buffer[] = [];
      for (let count = 0; count < 200; count++) {
        const session = contexts.take();
        const old = collected.length === 0 ? undefined : collected[(count * 7) % collected.length];
        const { isResumed, tickets } = await shakeHands(session, version, { session: old });
        assert.equal(isResumed, false);
        collected.push(...tickets);
        session.release();
        assert.equal(contexts.idleCount, 1);
      }
      assert.ok(collected.length >= 200);
    });

    it(`After a renewal of the certificate sessions get contexts that have it over ${version}, and refuse all earlier tickets`, async () => {
      const holder: { current: Certificate } = { current: certificate };
      const contexts = new SessionContexts(holder, options);
      const idle = contexts.take();
      const duringRenewal = contexts.take();
      const early = await shakeHands(idle, version);
      const late = await shakeHands(duringRenewal, version);
      idle.release();
      holder.current = await createCertificate('renewed');

      // Its session began with the former certificate, so it must not serve another one.
      duringRenewal.release();
      assert.equal(contexts.idleCount, 0);
      const session = contexts.take();
      for (const ticket of [...early.tickets, ...late.tickets]) {
        const { isResumed, subject } = await shakeHands(session, version, { session: ticket });
        assert.equal(isResumed, false);
        assert.equal(subject, 'renewed');
      }
      session.release();
      assert.equal(contexts.idleCount, 1);
      const next = contexts.take();
      assert.equal((await shakeHands(next, version)).subject, 'renewed');
      next.release();
    });

    it(`A context is recycled after a handshake over ${version} that ended anywhere, and refuses what any former session got`, async () => {
      const contexts = new SessionContexts({ current: certificate }, options);
      const whole = contexts.take();
      const { sentBytes, tickets } = await shakeHands(whole, version);
      whole.release();
      const known = [...tickets];
      for (const end of ['reset', 'end'] as const) {
        for (const cutAfterBytes of cutsOf(sentBytes)) {
          const dying = contexts.take();
          const cut = await shakeHands(dying, version, { cutAfterBytes, end });
          known.push(...cut.tickets);
          dying.release();
          assert.equal(contexts.idleCount, 1, `cut after ${cutAfterBytes} bytes`);

          const session = contexts.take();
          const { isResumed } = await shakeHands(session, version, { session: known.at(-1) });
          assert.equal(isResumed, false, `cut after ${cutAfterBytes} bytes`);
          session.release();
        }
      }
    });

    it(`A client that resets its connection as soon as it has a ticket over ${version} cannot use it with the next session`, async () => {
      const contexts = new SessionContexts({ current: certificate }, options);
      const dying = contexts.take();
      const { tickets } = await shakeHands(dying, version, { resetsAtTicket: true });
      assert.ok(tickets.length > 0);
      dying.release();
      assert.equal(contexts.idleCount, 1);
      const session = contexts.take();
      assert.equal((await shakeHands(session, version, { session: tickets.at(-1) })).isResumed, false);
      session.release();
    });

    it(`A context serves no other session while a handshake with it is unfinished over ${version}`, async () => {
      const contexts = new SessionContexts({ current: certificate }, options);
      const former = contexts.take();
      const { sentBytes } = await shakeHands(former, version);
      const handshake = beginHandshake(former, version, { cutAfterBytes: sentBytes - 1, end: 'never' });
      try {
        await handshake.cut;
        former.release();
        assert.equal(contexts.idleCount, 0);
        const other = contexts.take();
        assert.equal((await shakeHands(other, version)).isResumed, false);
        other.release();
        assert.equal(contexts.idleCount, 1);
      } finally {
        handshake.raw.destroy();
      }
      await handshake.closed;
      assert.equal(contexts.idleCount, 2);
    });
  });
}

it('A session of TLS 1.2 without tickets cannot be resumed by its identifier, with its own context or a recycled one', async () => {
  const contexts = new SessionContexts({ current: certificate }, options);
  const withoutTickets = createSecureContext({ secureOptions: constants.SSL_OP_NO_TICKET });
  const former = contexts.take();
  const first = await shakeHands(former, 'TLSv1.2', { secureContext: withoutTickets });
  assert.ok(first.endSession);
  const offering = { secureContext: withoutTickets, session: first.endSession };
  assert.equal((await shakeHands(former, 'TLSv1.2', offering)).isResumed, false);
  former.release();
  const session = contexts.take();
  assert.equal((await shakeHands(session, 'TLSv1.2', offering)).isResumed, false);
  session.release();
});

it('A recycled context issues no more tickets than the session was told to, also where its former session had used its own up', async () => {
  const contexts = new SessionContexts({ current: certificate }, options);
  const former = contexts.take();
  await shakeHands(former, 'TLSv1.3');
  former.endTickets();
  former.release();
  const session = contexts.take();
  assert.equal((await shakeHands(session, 'TLSv1.3')).tickets.length, 2);
  session.endTickets();
  assert.deepEqual((await shakeHands(session, 'TLSv1.3')).tickets, []);
  session.release();
  const off = new SessionContexts({ current: certificate }, { ...options, tlsDataResumption: 'off' });
  for (let count = 0; count < 3; count++) {
    const silent = off.take();
    assert.deepEqual((await shakeHands(silent, 'TLSv1.3')).tickets, []);
    silent.release();
  }
});

it('No more unused contexts are kept than the pool may hold, and a context that is released twice is kept once', () => {
  const contexts = new SessionContexts({ current: certificate }, options);
  const taken = Array.from({ length: maxIdleContexts + 3 }, () => contexts.take());
  taken[0]?.release();
  taken[0]?.release();
  assert.equal(contexts.idleCount, 1);
  for (const context of taken) context.release();
  assert.equal(contexts.idleCount, maxIdleContexts);
});

it('A context that has been released makes no further connection', () => {
  const contexts = new SessionContexts({ current: certificate }, options);
  const context = contexts.take();
  context.release();
  assert.throws(() => context.secure(connectTcp({ port: 1 }).on('error', () => undefined)), /released/);
});

it('Without the hook that replaces ticket keys no context serves two sessions', () => {
  const prototype = Object.getPrototypeOf(createSecureContext().context) as Record<string, unknown>;
  const hook = Object.getOwnPropertyDescriptor(prototype, 'enableTicketKeyCallback');
  assert.ok(hook);
  delete prototype['enableTicketKeyCallback'];
  try {
    const contexts = new SessionContexts({ current: certificate }, options);
    contexts.take().release();
    assert.equal(contexts.idleCount, 0);
  } finally {
    Object.defineProperty(prototype, 'enableTicketKeyCallback', hook);
  }
});

type HandshakeOptions = Pick<ConnectionOptions, 'secureContext'> & {
  readonly session?: Buffer | undefined;
  /** The client's connection ends when the server has received so many bytes. */
  readonly cutAfterBytes?: number;
  readonly end?: 'reset' | 'end' | 'never';
  readonly resetsAtTicket?: boolean;
};

type Handshake = {
  readonly isResumed: boolean;
  readonly tickets: readonly Buffer[];
  readonly endSession: Buffer | undefined;
  readonly subject: string | string[] | undefined;
  /** What the client has sent before the server closed. */
  readonly sentBytes: number;
};

/** A connection, until both sides have closed it. The server closes it in order behind its handshake. */
async function shakeHands(
  context: SessionContext,
  version: SecureVersion,
  handshakeOptions: HandshakeOptions = {},
): Promise<Handshake> {
  return beginHandshake(context, version, handshakeOptions).closed;
}

function beginHandshake(
  context: SessionContext,
  version: SecureVersion,
  { session, cutAfterBytes = Infinity, end = 'reset', resetsAtTicket, ...rest }: HandshakeOptions,
): { readonly raw: Socket; readonly cut: Promise<void>; readonly closed: Promise<Handshake> } {
  const { port } = server.address() as AddressInfo;
  const raw = connectTcp({ port, host: '127.0.0.1' });
  const line = new CutLine(raw, cutAfterBytes, end);
  const client = connect({
    socket: line,
    servername: 'localhost',
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    ...(session !== undefined && { session }),
    ...rest,
  });
  const tickets: Buffer[] = [];
  let outcome = { isResumed: false, subject: undefined as Handshake['subject'] };
  client.on('session', (ticket) => {
    tickets.push(ticket);
    if (resetsAtTicket === true) raw.resetAndDestroy();
  });
  let endSession: Buffer | undefined;
  client.once('secureConnect', () => {
    endSession = client.getSession();
    outcome = { isResumed: client.isSessionReused(), subject: subjectOf(client) };
  });
  client.on('error', () => undefined);
  raw.on('error', () => undefined);
  const closed = (async (): Promise<Handshake> => {
    const [accepted] = (await once(server, 'connection')) as [Socket];
    accepted.on('error', () => undefined);
    const secured = context.secure(accepted);
    const securedClosed = new Promise((resolve) => secured.once('close', resolve));
    secured.on('error', () => undefined);
    secured.resume().once('secure', () => setImmediate(() => secured.end('done')));
    client.resume();
    await securedClosed;
    const { bytesRead } = accepted;
    accepted.destroy();
    client.destroy();
    raw.destroy();
    if (!raw.closed) await once(raw, 'close');
    return { ...outcome, tickets, endSession, sentBytes: bytesRead };
  })();
  return { raw, cut: line.cut, closed };
}

/** The certificate is sent in full handshakes only. */
function subjectOf(client: TLSSocket): Handshake['subject'] {
  return client.isSessionReused() ? undefined : client.getPeerCertificate().subject.CN;
}

/** Ends the connection after so many bytes to the server. */
class CutLine extends Duplex {
  readonly cut: Promise<undefined>;
  readonly #raw: Socket;
  readonly #end: 'reset' | 'end' | 'never';
  readonly #wasCut: () => void;
  #leftBytes: number;

  constructor(raw: Socket, leftBytes: number, end: 'reset' | 'end' | 'never') {
    super();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.cut = promise;
    this.#wasCut = () => resolve(undefined);
    this.#raw = raw;
    this.#leftBytes = leftBytes;
    this.#end = end;
    raw.on('data', (bytes: Buffer) => this.push(bytes));
    raw.on('end', () => this.push(null));
    raw.on('close', () => this.destroy());
    this.on('error', () => undefined);
    if (leftBytes === 0) raw.once('connect', () => this.#cutNow());
  }

  override _read(): void {
    this.#raw.resume();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    const passed = bytes.subarray(0, Math.max(0, this.#leftBytes));
    const wasOpen = this.#leftBytes > 0;
    this.#leftBytes -= bytes.length;
    if (!this.#raw.destroyed && passed.length > 0)
      this.#raw.write(passed, () => {
        if (wasOpen && this.#leftBytes <= 0) this.#cutNow();
      });
    callback();
  }

  override _final(callback: () => void): void {
    this.#raw.end();
    callback();
  }

  #cutNow(): void {
    this.#wasCut();
    if (this.#end === 'reset') this.#raw.resetAndDestroy();
    else if (this.#end === 'end') this.#raw.end();
  }
}

/** Positions in the first flight, and each byte of the end of the handshake. */
function cutsOf(sentBytes: number): number[] {
  const cuts: number[] = [];
  for (let at = 0; at < sentBytes; at += at < sentBytes - 120 ? 41 : 1) cuts.push(at);
  return cuts;
}
