/** The target of a PORT or EPRT: the gateway connects to the client (RFC 959 3.2, RFC 2428 2). */
import { addAbortListener } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import {
  DataConnectionError,
  ignoreSocketError,
  type DataConnectionSource,
} from './data-connection-source.ts';
import { CausedError, causeOf, type CauseCode } from '../../observability/cause.ts';
import { foldIpv4Mapped, isPrivateAddress } from '../../net/ip-address.ts';

/** The address and port that PORT or EPRT names. */
export type ActiveTarget = { readonly address: string; readonly port: number };

export type ActiveConnectionOptions = {
  readonly timeoutMs: number;
  /** Local address to connect from. Some clients accept only the address that their control connection goes to. */
  readonly sourceAddress?: string | undefined;
  /** Local port to connect from (RFC 959: 20); any by default. */
  readonly sourcePort?: number | undefined;
};

/** Lower ports belong to system services, and PORT must not be usable to attack them (RFC 2577 section 3). */
const minPort = 1024;

/** The reason to refuse a target; undefined for an allowed one. */
export function targetRefusal(target: ActiveTarget, clientAddress: string): CausedError | undefined {
  if (foldIpv4Mapped(target.address) !== clientAddress) {
    return new CausedError(
      isPrivateAddress(target.address) ? 'ACTIVE-PRIVATE' : 'ACTIVE-ADDRESS',
      `Data connections are made to your own address ${clientAddress} only, not to ${target.address}. Use PASV or EPSV.`,
    );
  }
  if (target.port < minPort) {
    return new CausedError(
      'ACTIVE-PORT',
      `Data connections are made to ports from ${minPort} only. Use PASV or EPSV.`,
    );
  }
  return undefined;
}

/** A connection to the target, made when a transfer opens it. */
export class ActiveConnection implements DataConnectionSource {
  readonly mode = 'active';
  readonly missingCause = 'ACTIVE-TIMEOUT';
  readonly #target: ActiveTarget;
  readonly #options: ActiveConnectionOptions;
  #used = false;
  #cancel: ((cause: CauseCode, message: string) => void) | undefined;

  constructor(target: ActiveTarget, options: ActiveConnectionOptions) {
    this.#target = target;
    this.#options = options;
  }

  get port(): number {
    return this.#target.port;
  }

  open(signal: AbortSignal): Promise<Socket> {
    return new Promise((resolve, reject) => {
      if (this.#used || signal.aborted) {
        reject(
          new DataConnectionError(
            'DATA-NO-MODE',
            'The data connection has been used; send PORT or EPRT first.',
          ),
        );
        return;
      }
      this.#used = true;
      const { timeoutMs, sourceAddress, sourcePort } = this.#options;
      const { address, port } = this.#target;
      const socket = connect({
        host: address,
        port,
        allowHalfOpen: true,
        localAddress: isIP(sourceAddress ?? '') === isIP(address) ? sourceAddress : undefined,
        localPort: sourcePort,
      });
      const settle = (): void => {
        clearTimeout(timer);
        abortListener[Symbol.dispose]();
        this.#cancel = undefined;
      };
      // A destroyed socket emits no 'connect', so a late connection is not handed to anything.
      const fail = (cause: CauseCode, message: string): void => {
        settle();
        socket.destroy();
        reject(new DataConnectionError(cause, message));
      };
      const timer = setTimeout(() => {
        fail(
          'ACTIVE-TIMEOUT',
          `${address} port ${port} did not answer within ${Math.ceil(timeoutMs / 1000)} s; a firewall may block it. Use PASV or EPSV.`,
        );
      }, timeoutMs);
      this.#cancel = fail;
      const abortListener = addAbortListener(signal, () => {
        fail(causeOf(signal.reason), 'The transfer was aborted before its data connection was made.');
      });
      socket.on('error', ({ code }: NodeJS.ErrnoException) => {
        fail(
          code === 'ETIMEDOUT' ? 'ACTIVE-TIMEOUT' : 'ACTIVE-REFUSED',
          `The connection to ${address} port ${port} failed (${code ?? 'unknown'}). Use PASV or EPSV.`,
        );
      });
      socket.once('connect', () => {
        settle();
        // The transfer starts reading when it is ready, as with a passive connection.
        socket.pause();
        socket.removeAllListeners('error').on('error', ignoreSocketError);
        resolve(socket);
      });
    });
  }

  close(): void {
    this.#used = true;
    this.#cancel?.('DATA-NO-MODE', 'The data connection has been closed; send PORT or EPRT first.');
  }
}
