/** A bare FTP client for load: it sends what a fast client would send, and waits for every reply. */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';

export type Account = {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
};

/** A server that sends no reply and moves no byte for that long counts as failed. */
const patienceMs = 300_000;

/** One control connection of the load. */
export class LoadSession {
  readonly #control: Socket;
  readonly #host: string;
  readonly #replies: string[] = [];
  #rest = '';
  #sending: Socket | undefined;
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

  /** Sends a command and returns the last line of its reply, whatever it says. */
  ask(line: string): Promise<string> {
    this.#control.write(`${line}\r\n`);
    return this.#reply();
  }

  /** Uploads `blocks` blocks of the same bytes; resolves when the server has confirmed the file. */
  store(pathname: string, block: Buffer, blocks: number): Promise<void> {
    return this.storeFrom(pathname, Array<Buffer>(blocks).fill(block));
  }

  /** Uploads these bytes, to an offset of the file where one is given (REST). */
  async storeFrom(pathname: string, blocks: Iterable<Buffer>, offsetBytes = 0): Promise<void> {
    const data = await this.#openData();
    this.#sending = data;
    try {
      if (offsetBytes > 0) await this.command(`REST ${offsetBytes}`, 350);
      this.#control.write(`STOR ${pathname}\r\n`);
      await this.#expect(150, 125);
      await send(data, blocks);
      data.end();
      await this.#expect(226);
    } finally {
      this.#sending = undefined;
      data.destroy();
    }
  }

  /**
   * Begins an upload and resets its data connection when the kernel has taken the last block. Resolves to what the server
   * says to it; undefined where it says nothing in half a minute.
   */
  async storeAndReset(pathname: string, blocks: Iterable<Buffer>): Promise<string | undefined> {
    const data = await this.#openData();
    this.#control.write(`STOR ${pathname}\r\n`);
    await this.#expect(150, 125);
    await send(data, blocks);
    if (data.writableLength > 0) await drained(data);
    data.resetAndDestroy();
    return await this.#reply(30_000).catch(() => undefined);
  }

  /** Downloads and throws the bytes away; resolves to their number after the server's confirmation. */
  retrieve(pathname: string, onBytes?: (bytes: Buffer) => void): Promise<number> {
    return this.#receiveOver(`RETR ${pathname}`, onBytes);
  }

  /** Runs a listing command; calls back at its first byte. */
  list(line: string, onFirstByte?: () => void): Promise<number> {
    let isFirst = true;
    return this.#receiveOver(line, () => {
      if (isFirst) onFirstByte?.();
      isFirst = false;
    });
  }

  /** Closes the control connection, and does not wait forever. */
  async quit(): Promise<void> {
    this.#control.end('QUIT\r\n');
    this.#control.resume();
    if (this.#control.destroyed) return;
    const timer = setTimeout(() => this.#control.destroy(), 10_000);
    await once(this.#control, 'close');
    clearTimeout(timer);
  }

  async #receiveOver(line: string, onBytes?: (bytes: Buffer) => void): Promise<number> {
    const data = await this.#openData();
    try {
      let receivedBytes = 0;
      const ended = new Promise<void>((resolve) => data.once('end', resolve).once('close', resolve));
      data.on('data', (bytes: Buffer) => {
        receivedBytes += bytes.length;
        onBytes?.(bytes);
      });
      this.#control.write(`${line}\r\n`);
      await this.#expect(150, 125);
      await ended;
      await this.#expect(226);
      return receivedBytes;
    } finally {
      data.destroy();
    }
  }

  async #openData(): Promise<Socket> {
    const reply = await this.command('EPSV', 229);
    const port = Number(/\|(\d+)\|/.exec(reply)?.[1]);
    const data = connect({ host: this.#host, port });
    data.setNoDelay(true);
    await once(data, 'connect');
    data.on('error', () => undefined);
    data.setTimeout(patienceMs, () => data.destroy());
    return data;
  }

  async #expect(...codes: readonly number[]): Promise<string> {
    const line = await this.#reply();
    if (!codes.includes(Number(line.slice(0, 3))))
      throw new Error(`expected ${codes.join(' or ')}, got ${line}`);
    return line;
  }

  async #reply(waitMs = patienceMs): Promise<string> {
    const deadline = performance.now() + waitMs;
    while (this.#replies.length === 0) {
      if (this.#control.destroyed) throw new Error('the control connection closed before the reply');
      if (performance.now() >= deadline) throw new Error(`no reply in ${waitMs / 1000} s`);
      const timer = setTimeout(() => this.#wake?.(), deadline - performance.now() + 1);
      await new Promise<void>((resolve) => (this.#wake = resolve));
      clearTimeout(timer);
    }
    return this.#replies.shift() ?? '';
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split('\r\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (/^\d{3} /.test(line)) this.#replies.push(line);
      // Not every server hangs up on an upload that it has refused, nor reads on.
      if (/^[45]\d\d /.test(line)) this.#sending?.destroy();
    }
    this.#wake?.();
  }
}

/** Writes as fast as the connection takes it. If a server closes the connection early, its reply shows the failure. */
async function send(data: Socket, blocks: Iterable<Buffer>): Promise<void> {
  for (const block of blocks) {
    if (data.writableNeedDrain) await drained(data);
    if (data.destroyed) return;
    data.write(block);
  }
}

async function drained(data: Socket): Promise<void> {
  if (data.destroyed) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      data.off('drain', done).off('close', done);
      resolve();
    };
    data.on('drain', done).on('close', done);
  });
}
