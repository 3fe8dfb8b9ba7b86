/** The target of a PORT or EPRT: the gateway connects to the client (RFC 959 3.2, RFC 2428 2). */
import { connect, isIP, type Socket } from 'node:net';
import { DataConnectionError, type DataConnectionSource } from './data-connection-source.ts';
import { foldIpv4Mapped } from '../../net/ip-address.ts';

export type ActiveTarget = { readonly address: string; readonly port: number };

export type ActiveConnectionOptions = {
  readonly timeoutMs: number;
  /** The address to connect from; some clients accept only the one their control connection goes to. */
  readonly sourceAddress?: string;
  /** The port to connect from (RFC 959: 20); any by default. */
  readonly sourcePort?: number;
};

/** Ports below are a host's own services; connecting to them would be an attack on them (RFC 2577 section 3). */
const minPort = 1024;

/** Why a target is refused, as a sentence for the client, or undefined where it may be connected to. */
export function targetRefusal(target: ActiveTarget, clientAddress: string): string | undefined {
  if (foldIpv4Mapped(target.address) !== clientAddress) {
    return 'Data connections are made to your own address only.';
  }
  if (target.port < minPort) return `Data connections are made to ports from ${minPort} only.`;
  return undefined;
}

export class ActiveConnection implements DataConnectionSource {
  readonly #target: ActiveTarget;
  readonly #options: ActiveConnectionOptions;
  #used = false;
  #cancel: ((message: string) => void) | undefined;

  constructor(target: ActiveTarget, options: ActiveConnectionOptions) {
    this.#target = target;
    this.#options = options;
  }

  open(signal: AbortSignal): Promise<Socket> {
    return new Promise((resolve, reject) => {
      if (this.#used || signal.aborted) {
        reject(new DataConnectionError('The data connection has been used; send PORT or EPRT first.'));
        return;
      }
      this.#used = true;
      const { timeoutMs, sourceAddress, sourcePort } = this.#options;
      const { address, port } = this.#target;
      const socket = connect({
        host: address,
        port,
        noDelay: true,
        allowHalfOpen: true,
        ...(sourceAddress !== undefined &&
          isIP(sourceAddress) === isIP(address) && { localAddress: sourceAddress }),
        ...(sourcePort !== undefined && { localPort: sourcePort }),
      });
      const settle = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', stop);
        this.#cancel = undefined;
      };
      // Once destroyed, the socket never reports a connection: one that comes too late meets nobody.
      const fail = (message: string): void => {
        settle();
        socket.destroy();
        reject(new DataConnectionError(message));
      };
      const stop = (): void => fail('The transfer was aborted before its data connection was made.');
      const timer = setTimeout(() => {
        fail(`Your data port did not answer within ${Math.ceil(timeoutMs / 1000)} seconds.`);
      }, timeoutMs);
      this.#cancel = fail;
      signal.addEventListener('abort', stop);
      // Stays for the socket's whole life; a settled promise ignores what comes later.
      socket.on('error', () => fail('The connection to your data port failed; use PASV or EPSV.'));
      socket.once('connect', () => {
        settle();
        // Reading starts when the transfer wants the bytes, as with a passive connection.
        socket.pause();
        socket.removeAllListeners('error').on('error', ignore);
        resolve(socket);
      });
    });
  }

  close(): void {
    this.#used = true;
    this.#cancel?.('The data connection has been closed; send PORT or EPRT first.');
  }
}

function ignore(): void {
  // The transfer listens for itself; this one hears what comes before and after it.
}
