/**
 * The passive ports. All of them listen from start to stop; a port carries many transfers, because a session needs it
 * only between its 227 or 229 reply and the moment the client's connection is accepted. That claim is a lease.
 * Why leases are kept by client address, and what happens when one address needs more of them than there are ports:
 * docs/decisions/0002-passive-port-leases.md.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { takesOperationsReserve } from '../../util/descriptors.ts';
import type { Observe } from '../../observability/event.ts';
import { DataConnectionError, type DataConnectionSource } from './data-connection-source.ts';
import { foldIpv4Mapped } from '../../net/ip-address.ts';
import { listen } from '../../net/listen.ts';
import { PortLease, type LeaseHolder } from './port-lease.ts';

export type PassivePortsOptions = {
  readonly listenAddress: string;
  /** Port numbers; 0 takes any free port (tests). */
  readonly ports: readonly number[];
  /** How long a lease waits for its connection, from the PASV or EPSV and again from the transfer command's 150. */
  readonly dataConnectionTimeoutMs: number;
  /** How long a PASV or EPSV waits in line for a port. */
  readonly leaseWaitMs: number;
  readonly observe: Observe;
};

export type PassiveLease = DataConnectionSource & { readonly port: number };

type PassivePort = {
  readonly number: number;
  readonly server: Server;
  /** The leases that wait on it, of all addresses. */
  readonly leases: Set<PortLease>;
  /** Order number of its last lease: the port that rested longest is leased next. */
  lastLease: number;
};

type Waiter = { readonly holder: LeaseHolder; grant(lease: PortLease): void; readonly signal: AbortSignal };

/** What one client address holds and waits for; dropped when both are empty. */
type Claims = { readonly leases: Map<number, PortLease>; readonly waiting: Set<Waiter> };

export class PassivePorts {
  readonly #options: PassivePortsOptions;
  readonly #ports: PassivePort[] = [];
  readonly #claims = new Map<string, Claims>();
  readonly #leaseOfSession = new Map<string, PortLease>();
  #leaseCount = 0;

  private constructor(options: PassivePortsOptions) {
    this.#options = options;
  }

  /** Opens every port, or none: rejects with an error that names the port that could not be had. */
  static async open(options: PassivePortsOptions): Promise<PassivePorts> {
    const passivePorts = new PassivePorts(options);
    const opened = await Promise.allSettled(options.ports.map((port) => passivePorts.#listen(port)));
    const failures = opened
      .filter((outcome) => outcome.status === 'rejected')
      .map(({ reason }) => reason as Error);
    if (failures.length > 0) {
      await passivePorts.close();
      throw new AggregateError(failures, failures.map(({ message }) => message).join(' '));
    }
    passivePorts.#ports.sort((one, other) => one.number - other.number);
    return passivePorts;
  }

  /** The ports that listen, in ascending order. */
  get ports(): readonly number[] {
    return this.#ports.map(({ number }) => number);
  }

  /** Leases that wait for their connection, and requests that wait for a lease: what a gauge shows. */
  get usage(): { readonly leases: number; readonly waiting: number } {
    let leases = 0;
    let waiting = 0;
    for (const claims of this.#claims.values()) {
      leases += claims.leases.size;
      waiting += claims.waiting.size;
    }
    return { leases, waiting };
  }

  /**
   * Leases a port to a session; its previous lease, with any connection that nobody opened, ends first. Where the
   * client's address holds a lease on every port, waits in line. Rejects with `DataConnectionError` after `leaseWaitMs`,
   * or when the signal (the session's) aborts; the same signal ends the lease later.
   */
  async lease(holder: LeaseHolder, signal: AbortSignal): Promise<PassiveLease> {
    this.#leaseOfSession.get(holder.id)?.close();
    if (signal.aborted) throw new DataConnectionError('The session has ended.');
    const claims = this.#claimsOf(holder.clientAddress);
    const port = claims.waiting.size === 0 ? this.#freePort(claims) : undefined;
    return port === undefined
      ? this.#waitInLine(claims, holder, signal)
      : this.#grant(claims, port, holder, signal);
  }

  /** Stops listening and ends every lease. Connections already handed to a transfer are its own, and not waited for. */
  async close(): Promise<void> {
    for (const lease of this.#leaseOfSession.values()) lease.close();
    for (const { server } of this.#ports) server.close();
    // The listening sockets are closed at the end of this turn; their servers report it only after their connections.
    await setImmediate();
  }

  async #listen(number: number): Promise<void> {
    const server = createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true });
    const { listenAddress: host, observe } = this.#options;
    const boundPort = await listen(server, { host, port: number }, 'Passive port');
    const port: PassivePort = { number: boundPort, server, leases: new Set(), lastLease: 0 };
    server.on('error', (error) => observe({ event: 'unexpected-error', error }));
    server.on('connection', (socket) => this.#accept(port, socket));
    this.#ports.push(port);
  }

  #accept(port: PassivePort, socket: Socket): void {
    // Whatever a peer does to this socket later, no error event may go unheard.
    socket.on('error', ignore);
    // A peer that has reset the connection already has no address any more (getpeername(2) fails).
    const address = socket.remoteAddress === undefined ? undefined : foldIpv4Mapped(socket.remoteAddress);
    const lease = address === undefined ? undefined : this.#claims.get(address)?.leases.get(port.number);
    if (lease === undefined) {
      // Among several leases there is no telling whose it was.
      const [onlyLease] = port.leases;
      if (address === undefined && port.leases.size === 1) onlyLease?.reportReset();
      this.#options.observe({
        event: 'stray-data-connection',
        port: port.number,
        clientAddress: address ?? 'unknown',
      });
      socket.resetAndDestroy();
      return;
    }
    if (takesOperationsReserve(socket)) {
      socket.resetAndDestroy();
      lease.close('Too many connections are open; try again later.');
      return;
    }
    lease.accept(socket);
  }

  #claimsOf(address: string): Claims {
    let claims = this.#claims.get(address);
    if (claims === undefined) {
      claims = { leases: new Map(), waiting: new Set() };
      this.#claims.set(address, claims);
    }
    return claims;
  }

  // The port that was leased longest ago: load spreads, and a connection that comes too late for its own lease is least
  // likely to meet another one.
  #freePort({ leases }: Claims): PassivePort | undefined {
    let free: PassivePort | undefined;
    for (const port of this.#ports) {
      if (leases.has(port.number)) continue;
      if (free === undefined || port.lastLease < free.lastLease) free = port;
    }
    return free;
  }

  #grant(claims: Claims, port: PassivePort, holder: LeaseHolder, signal: AbortSignal): PortLease {
    port.lastLease = ++this.#leaseCount;
    const lease = new PortLease(port.number, holder, this.#options.dataConnectionTimeoutMs, signal, {
      released: () => {
        port.leases.delete(lease);
        this.#release(claims, port, holder.clientAddress);
      },
      ended: () => {
        if (this.#leaseOfSession.get(holder.id) === lease) this.#leaseOfSession.delete(holder.id);
      },
    });
    port.leases.add(lease);
    claims.leases.set(port.number, lease);
    this.#leaseOfSession.set(holder.id, lease);
    return lease;
  }

  #release(claims: Claims, port: PassivePort, address: string): void {
    claims.leases.delete(port.number);
    const [next] = claims.waiting;
    if (next !== undefined) {
      claims.waiting.delete(next);
      next.grant(this.#grant(claims, port, next.holder, next.signal));
    }
    this.#dropIfEmpty(claims, address);
  }

  #dropIfEmpty(claims: Claims, address: string): void {
    if (claims.leases.size === 0 && claims.waiting.size === 0) this.#claims.delete(address);
  }

  #waitInLine(claims: Claims, holder: LeaseHolder, signal: AbortSignal): Promise<PortLease> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', leave);
      };
      const giveUp = (error: DataConnectionError): void => {
        settle();
        claims.waiting.delete(waiter);
        this.#dropIfEmpty(claims, holder.clientAddress);
        reject(error);
      };
      const leave = (): void => giveUp(new DataConnectionError('The session has ended.'));
      const waiter: Waiter = {
        holder,
        signal,
        grant: (lease) => {
          settle();
          resolve(lease);
        },
      };
      const timer = setTimeout(() => {
        const { id: sessionId, clientAddress } = holder;
        this.#options.observe({ event: 'passive-ports-exhausted', sessionId, clientAddress });
        giveUp(
          new DataConnectionError(
            'All passive ports wait for other connections from your address; try again.',
          ),
        );
      }, this.#options.leaseWaitMs);
      signal.addEventListener('abort', leave);
      claims.waiting.add(waiter);
    });
  }
}

function ignore(): void {
  // Errors of a data connection are seen where it is used; before and after, nobody needs them.
}
