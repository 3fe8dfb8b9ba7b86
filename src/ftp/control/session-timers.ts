/** The timeouts of one session. */

/** How long a drain waits for the transfer command of a client that has agreed on a data connection. */
const pendingTransferMs = 2_000;

export type TimeoutOptions = {
  /** From the connection, or the end of a login, to the next login. */
  readonly loginTimeoutMs: number;
  /** For a PROXY header, and for a TLS handshake. */
  readonly handshakeTimeoutMs: number;
  /** Between two commands. */
  readonly idleTimeoutMs: number;
  /** From the connection to the end of the session. */
  readonly maxSessionMs: number;
};

export type Timeout = 'handshake' | 'login' | 'idle' | 'lifetime' | 'drain';

/** The timers of one session; each calls `onTimeout` with its name. */
export class SessionTimers {
  readonly #options: TimeoutOptions;
  readonly #onTimeout: (timeout: Timeout) => void;
  readonly #idle: NodeJS.Timeout;
  readonly #lifetime: NodeJS.Timeout;
  #handshake: NodeJS.Timeout | undefined;
  #login: NodeJS.Timeout | undefined;
  #drain: NodeJS.Timeout | undefined;

  /** Starts the idle, the lifetime and the login timer. */
  constructor(options: TimeoutOptions, onTimeout: (timeout: Timeout) => void) {
    this.#options = options;
    this.#onTimeout = onTimeout;
    this.#idle = setTimeout(() => onTimeout('idle'), options.idleTimeoutMs);
    this.#lifetime = setTimeout(() => onTimeout('lifetime'), options.maxSessionMs);
    this.startLogin();
  }

  restartIdle(): void {
    this.#idle.refresh();
  }

  startLogin(): void {
    clearTimeout(this.#login);
    this.#login = setTimeout(() => this.#onTimeout('login'), this.#options.loginTimeoutMs);
  }

  stopLogin(): void {
    clearTimeout(this.#login);
  }

  startHandshake(): void {
    this.#handshake = setTimeout(() => this.#onTimeout('handshake'), this.#options.handshakeTimeoutMs);
  }

  stopHandshake(): void {
    clearTimeout(this.#handshake);
  }

  /** Starts the time limit of a drain for the next transfer command, unless it has started. */
  startDrain(): void {
    this.#drain ??= setTimeout(() => this.#onTimeout('drain'), pendingTransferMs);
  }

  get isDraining(): boolean {
    return this.#drain !== undefined;
  }

  close(): void {
    clearTimeout(this.#idle);
    clearTimeout(this.#lifetime);
    clearTimeout(this.#handshake);
    clearTimeout(this.#login);
    clearTimeout(this.#drain);
  }
}
