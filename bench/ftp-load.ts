/** A bare FTP client for load: it sends what a fast client would send, and waits for every reply. */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';

export type Account = {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
};

/** One control connection of the load. */
export class LoadSession {
  readonly #control: Socket;
  readonly #host: string;
  readonly #replies: string[] = [];
  #rest = '';
  #wake: (() => void) | undefined;

  private constructor(control: Socket, host: string) {
    this.#control = control;
    this.#host = host;
    control.setNoDelay(true);
    control.setEncoding('utf8').on('data', (text: string) => this.#receive(text));
    // A connection that breaks is seen where its reply is awaited.
    control.on('error', () => undefined);
    control.on('close', () => this.#wake?.());
  }

  /** Connects and logs in, in TYPE I. */
  static async open({ host, port, username, password }: Account): Promise<LoadSession> {
    const control = connect({ host, port });
    await once(control, 'connect');
    const session = new LoadSession(control, host);
    await session.#expect(220);
    await session.command(`USER ${username}`, 331);
    await session.command(`PASS ${password}`, 230);
    await session.command('TYPE I', 200);
    return session;
  }

  /** Sends a command and returns the last line of its reply; throws when the code is another. */
  command(line: string, code: number): Promise<string> {
    this.#control.write(`${line}\r\n`);
    return this.#expect(code);
  }

  /** Uploads `blocks` blocks of the same bytes; resolves when the server has confirmed the file. */
  async store(pathname: string, block: Buffer, blocks: number): Promise<void> {
    const data = await this.#openData();
    this.#control.write(`STOR ${pathname}\r\n`);
    await this.#expect(150, 125);
    for (let sent = 0; sent < blocks; sent++) {
      if (!data.write(block) && sent + 1 < blocks) await once(data, 'drain');
    }
    data.end();
    await this.#expect(226);
    data.destroy();
  }

  /** Downloads and throws the bytes away; resolves to their number after the server's confirmation. */
  retrieve(pathname: string): Promise<number> {
    return this.#receiveOver(`RETR ${pathname}`);
  }

  /** Runs a listing command; calls back at its first byte. */
  list(line: string, onFirstByte?: () => void): Promise<number> {
    return this.#receiveOver(line, onFirstByte);
  }

  async quit(): Promise<void> {
    this.#control.end('QUIT\r\n');
    this.#control.resume();
    if (!this.#control.destroyed) await once(this.#control, 'close');
  }

  async #receiveOver(line: string, onFirstByte?: () => void): Promise<number> {
    const data = await this.#openData();
    let receivedBytes = 0;
    const ended = once(data, 'end');
    data.on('data', (bytes: Buffer) => {
      if (receivedBytes === 0) onFirstByte?.();
      receivedBytes += bytes.length;
    });
    this.#control.write(`${line}\r\n`);
    await this.#expect(150, 125);
    await ended;
    await this.#expect(226);
    return receivedBytes;
  }

  async #openData(): Promise<Socket> {
    const reply = await this.command('EPSV', 229);
    const port = Number(/\|(\d+)\|/.exec(reply)?.[1]);
    const data = connect({ host: this.#host, port });
    data.setNoDelay(true);
    await once(data, 'connect');
    data.on('error', () => undefined);
    return data;
  }

  async #expect(...codes: readonly number[]): Promise<string> {
    while (this.#replies.length === 0) {
      if (this.#control.destroyed)
        throw new Error(`the control connection closed, expected ${codes.join(' or ')}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const line = this.#replies.shift() ?? '';
    if (!codes.includes(Number(line.slice(0, 3))))
      throw new Error(`expected ${codes.join(' or ')}, got ${line}`);
    return line;
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split('\r\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) if (/^\d{3} /.test(line)) this.#replies.push(line);
    this.#wake?.();
  }
}
