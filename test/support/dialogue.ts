/** A client that sends exactly the given bytes, and returns exactly the replies. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';

export type DialogueOptions = {
  readonly port: number;
  readonly host?: string;
  /** The address to come from; loopback has many. */
  readonly localAddress?: string;
  /** Sent before anything else: a PROXY header, say. */
  readonly preamble?: Uint8Array;
  /** TLS from the first byte. */
  readonly implicitTls?: ConnectionOptions | true;
};

const timeoutMs = 10_000;

/** Certificates are checked by tests of certificates; all others take any. */
const anyCertificate: ConnectionOptions = { rejectUnauthorized: false, servername: 'localhost' };

export class Dialogue {
  #socket: Socket;
  #received = '';
  #isOver = false;
  #wake: (() => void) | undefined;
  /** How text is sent and replies are read; with `latin1` each character is one byte. */
  encoding: 'utf8' | 'latin1' = 'utf8';
  /** Tickets that the server gave the control connection; the newest last. */
  readonly tlsSessions: Buffer[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  /** Connects, and, with implicit TLS, shakes hands; the greeting is still to be read. */
  static async open(options: DialogueOptions): Promise<Dialogue> {
    const { port, host = '127.0.0.1', localAddress, preamble, implicitTls } = options;
    const socket = connect({
      port,
      host,
      noDelay: true,
      ...(localAddress !== undefined && { localAddress }),
    });
    await once(socket, 'connect');
    if (preamble !== undefined) socket.write(preamble);
    if (implicitTls === undefined) return new Dialogue(socket);
    const secured = connectTls({ ...anyCertificate, ...(implicitTls === true ? {} : implicitTls), socket });
    const dialogue = new Dialogue(secured);
    await once(secured, 'secureConnect');
    return dialogue;
  }

  /** Connects, reads the greeting and logs in. */
  static async logIn(options: DialogueOptions, username = 'alice', password = 'secret'): Promise<Dialogue> {
    const dialogue = await Dialogue.open(options);
    await dialogue.expect('220 Ready');
    await dialogue.says(`USER ${username}`, '331 Password required.');
    await dialogue.says(`PASS ${password}`, '230 Logged in.');
    return dialogue;
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** Sends bytes as they are; text in the encoding of the dialogue. Resolves when the kernel has them. */
  async send(bytes: string | Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#socket.write(Buffer.from(bytes as string, this.encoding), (error) =>
        error ? reject(error) : resolve(),
      );
    });
  }

  /** The next reply, whole, its lines joined by LF, as the server sent it. */
  async reply(withinMs = timeoutMs): Promise<string> {
    const deadline = Date.now() + withinMs;
    for (;;) {
      const match = /^(?:(\d{3}) [^\n]*|(\d{3})-(?:[^\n]*\r\n)*?\2 [^\n]*)\r\n/.exec(this.#received);
      if (match !== null) {
        this.#received = this.#received.slice(match[0].length);
        return match[0].slice(0, -2).replaceAll('\r\n', '\n');
      }
      await this.#more(deadline);
    }
  }

  /** Reads as many replies as are expected; each must be exactly so, or match. */
  async expect(...replies: readonly (string | RegExp)[]): Promise<void> {
    for (const expected of replies) {
      const got = await this.reply();
      if (typeof expected === 'string') assert.equal(got, expected);
      else assert.match(got, expected);
    }
  }

  /** Sends a command and expects its replies. */
  async says(command: string, ...replies: readonly (string | RegExp)[]): Promise<void> {
    await this.send(`${command}\r\n`);
    await this.expect(...replies);
  }

  /** Sends a command and returns the reply. */
  async ask(command: string): Promise<string> {
    await this.send(`${command}\r\n`);
    return this.reply();
  }

  /** Resolves when the server has closed; fails if it says anything else before. */
  async expectClosed(): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!this.#isOver) await this.#more(deadline);
    assert.equal(this.#received, '', 'nothing is said before the connection is closed');
  }

  /** AUTH TLS, and the handshake behind its 234. */
  async startTls(options: ConnectionOptions = {}): Promise<TLSSocket> {
    await this.says('AUTH TLS', '234 Proceed with the TLS handshake.');
    return this.handshake(options);
  }

  /** The handshake alone, on the socket as it is. */
  async handshake(options: ConnectionOptions = {}): Promise<TLSSocket> {
    const raw = this.#socket;
    raw.removeListener('data', this.#onData);
    raw.removeListener('close', this.#onClose);
    const secured = connectTls({ ...anyCertificate, ...options, socket: raw });
    this.#socket = secured;
    this.#listen(secured);
    await once(secured, 'secureConnect');
    return secured;
  }

  /** PASV, then connects to the port it names. */
  async passive(options: { readonly localAddress?: string } = {}): Promise<Socket> {
    const answer = await this.ask('PASV');
    const numbers = /^227 Entering Passive Mode \((\d+,\d+,\d+,\d+),(\d+),(\d+)\)\.$/.exec(answer);
    assert.ok(numbers, answer);
    const port = Number(numbers[2]) * 256 + Number(numbers[3]);
    const localAddress = options.localAddress ?? this.#localAddress();
    const socket = connect({ host: '127.0.0.1', port, localAddress, allowHalfOpen: true });
    await once(socket, 'connect');
    return socket;
  }

  /** PORT with a listener of ours; the promise is of the connection that the server makes. */
  async active(): Promise<Promise<Socket>> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await this.says(`PORT 127,0,0,1,${port >> 8},${port & 255}`, '200 PORT command successful.');
    return new Promise((resolve) => {
      server.once('connection', (socket) => {
        server.close();
        resolve(socket);
      });
    });
  }

  /** Downloads by PASV and RETR or another command that sends; the bytes, when 226 has come. */
  async download(command: string): Promise<Buffer> {
    const data = await this.passive();
    const content = readAll(data);
    await this.says(command, /^150 /);
    const bytes = await content;
    await this.expect(/^226 /);
    return bytes;
  }

  /** Uploads by PASV and STOR or another command that receives; returns when 226 has come. */
  async upload(command: string, bytes: string | Uint8Array): Promise<void> {
    const data = await this.passive();
    await this.says(command, /^150 /);
    data.end(bytes);
    data.resume();
    await this.expect(/^226 /);
  }

  /** Says goodbye and waits for the end. */
  async quit(): Promise<void> {
    await this.says('QUIT', '221 Goodbye.');
    await this.expectClosed();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #localAddress(): string {
    return this.#socket.localAddress ?? '127.0.0.1';
  }

  #listen(socket: Socket): void {
    socket.on('data', this.#onData);
    socket.on('session', (session: Buffer) => this.tlsSessions.push(session));
    socket.on('error', () => undefined);
    socket.on('close', this.#onClose);
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#received += bytes.toString(this.encoding);
    this.#wake?.();
  };

  readonly #onClose = (): void => {
    this.#isOver = true;
    this.#wake?.();
  };

  async #more(deadline: number): Promise<void> {
    if (this.#isOver) throw new Error(`The connection is closed; unread: ${JSON.stringify(this.#received)}`);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`Nothing came in time; unread: ${JSON.stringify(this.#received)}`));
      }, deadline - Date.now());
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}

/** Everything the other side sends until it closes; then our side is closed too. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  socket.end();
  return Buffer.concat(parts);
}

/** Resolves when the socket is closed, by whichever end and in whichever way. */
export async function closed(socket: Socket): Promise<void> {
  if (socket.closed) return;
  await new Promise((resolve) => {
    socket.on('error', () => undefined);
    socket.once('close', resolve);
  });
}
