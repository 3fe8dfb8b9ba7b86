/**
 * The data side alone, for tests: a logged-in session without a control connection, real passive ports, real sockets, and commands
 * called as the command loop calls them.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Command, LoginCommand } from '../../../src/ftp/commands/command.ts';
import { dataConnectionCommands } from '../../../src/ftp/commands/data-connection.ts';
import { listingCommands } from '../../../src/ftp/commands/listing.ts';
import { fileTransferCommands } from '../../../src/ftp/commands/file-transfer.ts';
import { formatReply, type Reply } from '../../../src/ftp/commands/reply.ts';
import type { Login, Session } from '../../../src/ftp/commands/session.ts';
import { parseAdvertisedAddress } from '../../../src/net/advertised-address.ts';
import { mlstFacts } from '../../../src/ftp/listing/format.ts';
import { PassivePorts } from '../../../src/ftp/data/passive-ports.ts';
import type { TransferSettings } from '../../../src/ftp/data/transfer.ts';
import type { Filesystem } from '../../../src/filesystem/filesystem.ts';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { rootPathname } from '../../../src/filesystem/pathname.ts';
import { CausedError } from '../../../src/observability/cause.ts';
import type { GatewayEvent } from '../../../src/observability/event.ts';
import type { PermissionSet } from '../../../src/users/user.ts';
import { testUploadGraceMs } from '../../support/gateway.ts';

export type DataSideOptions = Partial<TransferSettings> & {
  readonly filesystem?: Filesystem;
  readonly permissions?: PermissionSet;
  readonly listenAddress?: string;
  readonly advertisedAddress?: string;
  readonly activeMode?: 'on' | 'off';
  readonly dataConnectionTimeoutMs?: number;
};

export class DataSide {
  readonly filesystem: Filesystem;
  readonly events: GatewayEvent[] = [];
  /** Preliminary replies as sent on the wire. */
  readonly preliminaries: string[] = [];
  /** Writable, for tests and commands. */
  readonly session: {
    -readonly [key in keyof Session]: Session[key];
  };
  readonly login: Login;
  readonly ports: PassivePorts;
  readonly sessionEnd: AbortController;
  onPreliminary: (() => void) | undefined;
  readonly #commands: Map<string, Command>;
  readonly #sockets: Socket[] = [];

  private constructor(ports: PassivePorts, options: DataSideOptions, events: GatewayEvent[]) {
    this.ports = ports;
    this.events = events;
    this.filesystem = options.filesystem ?? new MemoryFilesystem();
    this.sessionEnd = new AbortController();
    const settings: TransferSettings = {
      stallTimeoutMs: options.stallTimeoutMs ?? 5_000,
      dataConnectionTimeoutMs: options.dataConnectionTimeoutMs ?? 5_000,
      tlsDataResumption: options.tlsDataResumption ?? 'optional',
      uploadGraceMs: options.uploadGraceMs ?? testUploadGraceMs,
      activeMode: 'on',
    };
    this.login = {
      user: {
        name: 'alice',
        home: { bucket: 'b', prefix: '' },
        permissions: options.permissions ?? 'read-write',
      },
      filesystem: this.filesystem,
      workingDirectory: rootPathname,
    };
    this.session = {
      id: 'session',
      clientAddress: '127.0.0.1',
      reachedAddress: '127.0.0.1',
      reachedThroughProxy: false,
      observe: (event: GatewayEvent) => events.push(event),
      signal: this.sessionEnd.signal,
      isExecuting: false,
      loginState: { step: 'logged-in', login: this.login },
      tls: undefined,
      protectionLevel: 'C',
      representationType: 'I',
      transmissionMode: 'S',
      deflateLevel: 6,
      restartOffsetBytes: 0,
      allocatedBytes: undefined,
      selectedFacts: mlstFacts,
      epsvAll: false,
      dataConnectionSource: undefined,
      transfer: undefined,
      sendPreliminary: (preliminary: Reply) => {
        this.preliminaries.push(formatReply(preliminary));
        this.onPreliminary?.();
      },
    } as unknown as Session;
    const commands = [
      ...dataConnectionCommands({
        passivePorts: ports,
        advertisedAddress: parseAdvertisedAddress(options.advertisedAddress ?? 'auto'),
        activeMode: options.activeMode ?? 'on',
        dataConnectionTimeoutMs: options.dataConnectionTimeoutMs ?? 5_000,
      }),
      ...fileTransferCommands(settings),
      ...listingCommands({ ...settings, listRecursive: 'on' }),
    ];
    this.#commands = new Map(commands.map((command) => [command.verb, command]));
  }

  static async start(options: DataSideOptions = {}): Promise<DataSide> {
    const events: GatewayEvent[] = [];
    const ports = await PassivePorts.open({
      listenAddress: options.listenAddress ?? '127.0.0.1',
      ports: [0],
      dataConnectionTimeoutMs: options.dataConnectionTimeoutMs ?? 5_000,
      leaseWaitMs: 1_000,
      observe: (event) => events.push(event),
    });
    return new DataSide(ports, options, events);
  }

  /** Returns the final reply as sent; throws what the handler throws. */
  async command(verb: string, argument = ''): Promise<string> {
    const command = this.#commands.get(verb) as LoginCommand;
    this.session.isExecuting = true;
    try {
      return formatReply(await command.handle(this.session, this.login, argument));
    } finally {
      this.session.isExecuting = false;
    }
  }

  /** EPSV, and the client's connection to the port that it names. */
  async connection(): Promise<Socket> {
    await this.command('EPSV');
    return this.dial(this.ports.ports[0]!);
  }

  async dial(port: number): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    socket.on('error', () => undefined);
    this.#sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  }

  /** As a session does whose client has closed the control connection. */
  endSession(): void {
    this.sessionEnd.abort(new CausedError('CLIENT-CLOSED', 'The session has ended.'));
  }

  async close(): Promise<void> {
    this.endSession();
    for (const socket of this.#sockets) socket.destroy();
    await this.ports.close();
  }
}

/** Everything the other side sends, and how its connection ended: `clean`, or an error code. */
export async function readAll(socket: Socket): Promise<{ bytes: Buffer; end: string }> {
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    const done = (end: string): void => resolve({ bytes: Buffer.concat(chunks), end });
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('end', () => {
      done('clean');
      socket.end();
    });
    socket.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    socket.once('close', () => done('closed'));
  });
}
