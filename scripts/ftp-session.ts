/** A small FTP client that shows the server's replies, for the scripts that look at real deployments. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';

export type SessionOptions = {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  /** AUTH TLS and PROT P. */
  readonly tls: boolean;
  /** Undefined checks the certificate for the name in `host`. */
  readonly servername?: string | undefined;
};

const timeoutMs = 30_000;

export class FtpSession {
  /** Milliseconds from the connection to the greeting; the client has sent nothing in that time. */
  readonly greetingMs: number;
  readonly #options: SessionOptions;
  #socket: Socket;
  #received = '';
  #wake: (() => void) | undefined;

  private constructor(options: SessionOptions, socket: Socket, greetingMs: number) {
    this.#options = options;
    this.#socket = socket;
    this.greetingMs = greetingMs;
  }

  /** Connects and logs in; rejects with the server's reply when it refuses. */
  static async open(options: SessionOptions): Promise<FtpSession> {
    const socket = connect({ host: options.host, port: options.port, noDelay: true, family: 4 });
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('nothing was heard for 30 seconds')));
    await once(socket, 'connect');
    const connected = performance.now();
    const first = new FtpSession(options, socket, 0);
    first.#listen();
    expect(await first.#reply(), 220);
    const session = new FtpSession(options, socket, performance.now() - connected);
    socket.removeAllListeners('data');
    session.#listen();
    if (options.tls) await session.#secure();
    await session.command(`USER ${options.username}`, 331);
    await session.command(`PASS ${options.password}`, 230);
    if (options.tls) {
      await session.command('PBSZ 0', 200);
      await session.command('PROT P', 200);
    }
    await session.command('TYPE I', 200);
    return session;
  }

  /** The address the client reached, as its socket knows it. */
  get reachedAddress(): string {
    return this.#socket.remoteAddress ?? '';
  }

  /** Waits this long for a reply from now on; the default is 30 seconds. */
  set patienceMs(milliseconds: number) {
    this.#socket.setTimeout(milliseconds);
  }

  /** Sends a command and returns the reply, which must have this code. */
  async command(line: string, code: number): Promise<string> {
    this.#socket.write(`${line}\r\n`);
    const reply = await this.#reply();
    expect(reply, code);
    return reply;
  }

  async passive(): Promise<{ readonly address: string; readonly port: number }> {
    const reply = await this.command('PASV', 227);
    const numbers = /\((\d+),(\d+),(\d+),(\d+),(\d+),(\d+)\)/.exec(reply)?.slice(1).map(Number);
    if (numbers === undefined) throw new Error(`this 227 has no address: ${reply}`);
    const [high = 0, low = 0] = numbers.slice(4);
    return { address: numbers.slice(0, 4).join('.'), port: high * 256 + low };
  }

  async extendedPassive(): Promise<number> {
    const reply = await this.command('EPSV', 229);
    return Number(/\|\|\|(\d+)\|/.exec(reply)?.[1]);
  }

  async upload(name: string, content: Uint8Array, port: number, host = this.reachedAddress): Promise<void> {
    const data = await this.#dial(host, port);
    try {
      await this.command(`STOR ${name}`, 150);
      const secured = await this.#secured(data);
      secured.end(content);
      secured.resume();
      expect(await this.#reply(), 226);
    } finally {
      data.destroy();
    }
  }

  async download(command: string, port: number, host = this.reachedAddress): Promise<Buffer> {
    const data = await this.#dial(host, port);
    try {
      await this.command(command, 150);
      const parts: Buffer[] = [];
      for await (const part of await this.#secured(data)) parts.push(part as Buffer);
      expect(await this.#reply(), 226);
      return Buffer.concat(parts);
    } finally {
      data.destroy();
    }
  }

  async quit(): Promise<void> {
    await this.command('QUIT', 221);
    this.#socket.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  async #dial(host: string, port: number): Promise<Socket> {
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true });
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`port ${port} does not answer`)));
    await once(socket, 'connect');
    // What breaks it later shows in the bytes and in the reply.
    socket.on('error', () => undefined);
    return socket;
  }

  async #secure(): Promise<void> {
    await this.command('AUTH TLS', 234);
    this.#socket.removeAllListeners('data');
    this.#socket = await this.#secured(this.#socket);
    this.#listen();
  }

  async #secured(socket: Socket): Promise<Socket | TLSSocket> {
    if (!this.#options.tls) return socket;
    const { host, servername = host } = this.#options;
    const secured = connectTls({ socket, servername });
    await once(secured, 'secureConnect');
    return secured;
  }

  #listen(): void {
    this.#socket.on('data', (bytes: Buffer) => {
      this.#received += bytes.toString();
      this.#wake?.();
    });
    this.#socket.on('error', () => this.#wake?.());
    this.#socket.on('close', () => this.#wake?.());
  }

  async #reply(): Promise<string> {
    for (;;) {
      const match = /^(?:(\d{3}) [^\n]*|(\d{3})-(?:[^\n]*\r\n)*?\2 [^\n]*)\r\n/.exec(this.#received);
      if (match !== null) {
        this.#received = this.#received.slice(match[0].length);
        return match[0].trimEnd();
      }
      if (this.#socket.destroyed) throw this.#socket.errored ?? new Error('the control connection is closed');
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

function expect(reply: string, code: number): void {
  if (!reply.startsWith(String(code))) throw new Error(`expected ${code}, got ${reply}`);
}
