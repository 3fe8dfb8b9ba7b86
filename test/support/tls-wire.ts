/**
 * The client's end of a data connection under TLS whose last bytes and whose end leave in one piece: what a fast client's
 * kernel makes of them, and what a TLS library cannot be made to do.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, type SecureVersion, type TLSSocket } from 'node:tls';

/** How the client ends its side once its content is written. */
export const wireEnds = ['close_notify', 'close_notify and FIN', 'FIN', 'RST'] as const;
export type WireEnd = (typeof wireEnds)[number];

export type WireOptions = {
  readonly version: SecureVersion;
  /** The control connection's session, where the data connection is to resume it. */
  readonly session?: Buffer | undefined;
  readonly content: string | Uint8Array;
  readonly end: WireEnd;
  /** `with the handshake`: in one piece with the client's last handshake record, where that is the handshake's last. */
  readonly timing: 'with the handshake' | 'after the handshake';
};

/**
 * Handshakes on `raw`, sends the content and ends as asked. Resolves to the client's TLS socket when the end is with the
 * kernel; what the server sends is read and dropped.
 */
export async function sendAndEnd(raw: Socket, options: WireOptions): Promise<TLSSocket> {
  const { version, session, content, end, timing } = options;
  raw.on('error', ignore);
  const wire = new Wire(raw);
  const client = connectTls({
    socket: wire,
    // The control connection's name: OpenSSL resumes a TLS 1.2 session for the same name only.
    servername: 'localhost',
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    ...(session !== undefined && { session }),
  });
  client.on('error', ignore);
  client.resume();
  // In a full handshake of TLS 1.2 the server has the last word; in all others the client (RFC 5246 7.3, RFC 8446 2).
  const isClientLast = version === 'TLSv1.3' || session !== undefined;
  if (isClientLast && timing === 'with the handshake') wire.holdFromSecondWrite();
  await once(client, 'secureConnect');
  assert.equal(client.isSessionReused(), session !== undefined, 'the session is resumed where it is offered');
  if (timing === 'after the handshake') await wire.flushed();
  wire.hold();
  if (content.length > 0) await new Promise((resolve) => client.write(content, resolve));
  const hasNotify = end === 'close_notify' || end === 'close_notify and FIN';
  if (hasNotify) {
    client.end();
    await wire.ended;
  } else {
    // The handshake's last record is written in the turn in which the client reports that it is complete.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await wire.release(end);
  return client;
}

/** Resets in one piece with the client's last record of a full TLS 1.2 handshake, which the server is to answer. */
export async function resetWithFinished(raw: Socket): Promise<void> {
  raw.on('error', ignore);
  const wire = new Wire(raw);
  const client = connectTls({ socket: wire, rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
  client.on('error', ignore);
  wire.holdFromSecondWrite();
  while (!wire.hasHeld) await new Promise((resolve) => setImmediate(resolve));
  await wire.release('RST');
}

/** A stream in front of the socket, which the TLS library writes to in JavaScript, so that its records can be held back. */
class Wire extends Duplex {
  readonly ended: Promise<void>;
  readonly #raw: Socket;
  readonly #markEnded: () => void;
  #held: Buffer[] | undefined;
  #writes = 0;
  #holdsFromSecond = false;

  constructor(raw: Socket) {
    super();
    this.#raw = raw;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.ended = promise;
    this.#markEnded = () => resolve(undefined);
    raw.on('data', (bytes: Buffer) => this.push(bytes));
    raw.once('end', () => this.push(null));
    raw.once('close', () => this.destroy());
  }

  holdFromSecondWrite(): void {
    this.#holdsFromSecond = true;
  }

  get hasHeld(): boolean {
    return (this.#held?.length ?? 0) > 0;
  }

  hold(): void {
    this.#held ??= [];
  }

  /** Resolves when the kernel has all that was written so far. */
  async flushed(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#raw.writableLength > 0) await once(this.#raw, 'drain');
  }

  /** Hands what was held to the kernel at once, and ends the TCP connection as asked. */
  async release(end: WireEnd): Promise<void> {
    const bytes = Buffer.concat(this.#held ?? []);
    this.#held = undefined;
    if (end === 'FIN' || end === 'close_notify and FIN') {
      await new Promise<void>((resolve) => this.#raw.end(bytes, resolve));
      return;
    }
    await new Promise((resolve) => this.#raw.write(bytes, resolve));
    if (end === 'RST') this.#raw.resetAndDestroy();
  }

  override _read(): void {
    // The socket delivers what comes.
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, written: (error?: Error | null) => void): void {
    this.#writes += 1;
    if (this.#holdsFromSecond && this.#writes > 1) this.hold();
    if (this.#held !== undefined) {
      this.#held.push(bytes);
      written();
    } else this.#raw.write(bytes, written);
  }

  override _final(done: () => void): void {
    this.#markEnded();
    done();
  }
}

function ignore(): void {
  // A connection that breaks is what these tests are about; the server's reply is what they look at.
}
