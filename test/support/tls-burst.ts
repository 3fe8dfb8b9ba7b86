/** Records of one byte each, which no client encrypts as fast as it can send them. */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';

/** A TLS client whose records can be held back. */
export class HeldRecords {
  readonly socket: TLSSocket;
  #held: Buffer[] | undefined;

  /** The handshake has begun; `socket` emits `secureConnect`. */
  constructor(raw: Socket, options: ConnectionOptions = {}) {
    const wire = new Duplex({
      read: () => void raw.resume(),
      write: (chunk: Buffer, _encoding, done) => {
        if (this.#held === undefined) raw.write(chunk, done);
        else {
          this.#held.push(chunk);
          done();
        }
      },
    });
    raw.on('data', (chunk: Buffer) => {
      if (!wire.push(chunk)) raw.pause();
    });
    raw.on('end', () => wire.push(null));
    raw.on('error', () => undefined);
    this.socket = connect({ rejectUnauthorized: false, ...options, socket: wire });
    this.socket.on('error', () => undefined);
  }

  /** Encrypts each character in a record of its own; resolves to what is to be sent. */
  async encrypt(text: string): Promise<Buffer> {
    this.#held = [];
    for (const byte of text) await new Promise<void>((resolve) => this.socket.write(byte, () => resolve()));
    const records = Buffer.concat(this.#held);
    this.#held = undefined;
    return records;
  }
}
