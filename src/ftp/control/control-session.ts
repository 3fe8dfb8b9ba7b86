/** The session's state, as commands change it; its connection and its end are the dispatcher's. */
import type { DataConnectionSource } from '../data/data-connection-source.ts';
import { defaultDeflateLevel } from '../data/mode-z.ts';
import type { Transfer } from '../data/transfer.ts';
import { mlstFacts, type MlstFact } from '../listing/format.ts';
import type { ChecksumAlgorithm } from '../../filesystem/filesystem.ts';
import type { Observe } from '../../observability/event.ts';
import type { Reply } from '../commands/reply.ts';
import type { ControlTls, Login, LoginState, Session, SessionEnd } from '../commands/session.ts';
import type { TextEncoding } from '../commands/text-encoding.ts';

/** What a session asks of its connection. */
export type SessionHost = {
  readonly isExecuting: boolean;
  sendPreliminary(reply: Reply): void;
  startTlsAfterReply(): void;
  endAfterReply(reason: SessionEnd): void;
  logIn(
    username: string,
    password: string,
    authenticate: () => Promise<Login | undefined>,
  ): Promise<Login | undefined>;
  logOut(): void;
};

export type ClientAddresses = Pick<Session, 'clientAddress' | 'reachedAddress' | 'reachedThroughProxy'>;

export class ControlSession implements Session {
  readonly id: string;
  readonly observe: Observe;
  /** Replaced once, before the first command, where a PROXY header tells them. */
  addresses: ClientAddresses;
  loginState: LoginState = { step: 'greeting' };
  tls: ControlTls | undefined;
  protectionLevel: 'C' | 'P' = 'C';
  representationType: 'A' | 'I' = 'A';
  transmissionMode: 'S' | 'Z' = 'S';
  deflateLevel = defaultDeflateLevel;
  restartOffsetBytes = 0;
  hashAlgorithm: ChecksumAlgorithm = 'SHA-256';
  failedLogins = 0;
  allocatedBytes: number | undefined;
  selectedFacts: readonly MlstFact[] = mlstFacts;
  filenameEncoding: TextEncoding;
  epsvAll = false;
  dataConnectionSource: DataConnectionSource | undefined;
  transfer: Transfer | undefined;
  readonly #host: SessionHost;
  readonly #controller = new AbortController();

  constructor(
    id: string,
    addresses: ClientAddresses,
    filenameEncoding: TextEncoding,
    observe: Observe,
    host: SessionHost,
  ) {
    this.id = id;
    this.addresses = addresses;
    this.filenameEncoding = filenameEncoding;
    this.observe = observe;
    this.#host = host;
  }

  get clientAddress(): string {
    return this.addresses.clientAddress;
  }

  get reachedAddress(): string {
    return this.addresses.reachedAddress;
  }

  get reachedThroughProxy(): boolean {
    return this.addresses.reachedThroughProxy;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isExecuting(): boolean {
    return this.#host.isExecuting;
  }

  async logIn(
    username: string,
    password: string,
    authenticate: () => Promise<Login | undefined>,
  ): Promise<boolean> {
    const login = await this.#host.logIn(username, password, authenticate);
    if (login === undefined) return false;
    this.loginState = { step: 'logged-in', login };
    return true;
  }

  logOut(): void {
    this.loginState = { step: 'greeting' };
    this.#host.logOut();
  }

  sendPreliminary(reply: Reply): void {
    this.#host.sendPreliminary(reply);
  }

  startTlsAfterReply(): void {
    this.#host.startTlsAfterReply();
  }

  endAfterReply(reason: SessionEnd): void {
    this.#host.endAfterReply(reason);
  }

  /** What REST, ALLO and RNFR announced for the next command is used up (RFC 959 4.1.3, RFC 3659 5). */
  forgetPending(): void {
    this.restartOffsetBytes = 0;
    this.allocatedBytes = undefined;
    if (this.loginState.step === 'logged-in') this.loginState.login.renameFrom = undefined;
  }

  /** Ends everything the session started, and gives back what it held. */
  close(): void {
    this.#controller.abort();
    this.dataConnectionSource?.close();
    this.dataConnectionSource = undefined;
  }
}

/** Who a proxied connection comes from, and which of the load balancer's addresses it reached. */
export function proxiedAddresses(header: {
  readonly source: { readonly address: string };
  readonly destination: { readonly address: string };
}): ClientAddresses {
  return {
    clientAddress: header.source.address,
    reachedAddress: header.destination.address,
    reachedThroughProxy: true,
  };
}
