/**
 * The passive ports. All of them listen from start to stop. One port carries many transfers, because a session needs it only
 * from its 227 or 229 reply until the client's connection is accepted. That claim is a lease.
 * Why leases are kept by client address, and what happens when one address needs more leases than there are ports:
 * docs/decisions/0002-passive-port-leases.md.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { takesOperationsReserve } from '../../util/descriptors.ts';
import { addAbortListener } from 'node:events';
import type { Observe } from '../../observability/event.ts';
import {
  DataConnectionError,
  ignoreSocketError,
  type DataConnectionSource,
} from './data-connection-source.ts';
import { causeOf, type CauseCode } from '../../observability/cause.ts';
import { BoundedMap } from '../../util/bounded-map.ts';
import { foldIpv4Mapped, isPrivateAddress } from '../../net/ip-address.ts';
import { type BusyPort, listen } from '../../net/listen.ts';
import { PortLease, type LeaseHolder } from './port-lease.ts';

export type PassivePortsOptions = {
  readonly listenAddress: string;
  /** Port numbers; 0 takes any free port (tests). */
  readonly ports: readonly number[];
  /** How long a lease waits for its connection, from the PASV or EPSV and again from the transfer command's 150. */
  readonly dataConnectionTimeoutMs: number;
  /** How long a PASV or EPSV waits for a free port. */
  readonly leaseWaitMs: number;
  readonly observe: Observe;
};

/** A lease as commands see it: the port for the 227 or 229 reply, and the connection to it. */
export type PassiveLease = DataConnectionSource & { readonly port: number };

type PassivePort = {
  readonly number: number;
  readonly server: Server;
  /** The leases that wait for a connection to it, of all client addresses. */
  readonly leases: Set<PortLease>;
  /** Sequence number of its last lease. The port with the lowest one is leased next. */
  lastLeaseNumber: number;
};

type Waiter = { readonly holder: LeaseHolder; grant(lease: PortLease): void; readonly signal: AbortSignal };

/** The leases and waiting requests of one client address; removed when both are empty. */
type Claims = { readonly leases: Map<number, PortLease>; readonly waiting: Set<Waiter> };

/** Remembered ends of leases, so that a connection that arrives too late is recognized. */
const maxExpired = 1_000;

/** All passive ports of one gateway, and the leases on them. */
export class PassivePorts {
  readonly #options: PassivePortsOptions;
  readonly #ports: PassivePort[] = [];
  readonly #claims = new Map<string, Claims>();
  readonly #leaseOfSession = new Map<string, PortLease>();
  #lastLeaseNumber = 0;
  /** All ports, for replies. */
  #description: string | undefined;
  /** When leases ended without a connection (`performance.now()`), by address and port. */
  readonly #expired = new BoundedMap<string, number>(maxExpired);

  private constructor(options: PassivePortsOptions) {
    this.#options = options;
  }

  /** Opens every port or none: rejects with an error that names each port that cannot be opened. */
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

  /** The listening ports in ascending order. */
  get ports(): readonly number[] {
    return this.#ports.map(({ number }) => number);
  }

  /** Leases that wait for their connection, and requests that wait for a lease, for gauges. */
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
   * Leases a port to a session, after ending its previous lease together with any connection that was not opened. Queues
   * while the client's address holds a lease on every port. Rejects with `DataConnectionError` after `leaseWaitMs`, or when
   * the signal (the session's) aborts; the same signal ends the lease later.
   */
  async lease(holder: LeaseHolder, signal: AbortSignal): Promise<PassiveLease> {
    this.#leaseOfSession.get(holder.id)?.close();
    if (signal.aborted) throw new DataConnectionError(causeOf(signal.reason), 'The session has ended.');
    const claims = this.#claimsOf(holder.clientAddress);
    const port = claims.waiting.size === 0 ? this.#freePort(claims) : undefined;
    return port === undefined
      ? this.#queue(claims, holder, signal)
      : this.#grant(claims, port, holder, signal);
  }

  /** Stops listening and ends every lease. Does not wait for connections that transfers have opened. */
  async close(): Promise<void> {
    for (const lease of this.#leaseOfSession.values()) lease.close();
    for (const { server } of this.#ports) server.close();
    // The listening sockets close at the end of this turn; 'close' events come only after those of their connections.
    await setImmediate();
  }

  async #listen(number: number): Promise<void> {
    // With Nagle's algorithm, unlike the control connection: chunks from S3 are as small as TLS records, and full segments save a tenth
    // of the CPU time. The end of the connection flushes the rest (RFC 9293 3.7.4 holds back small segments only while more may
    // follow).
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
    const { listenAddress: host, observe } = this.#options;
    // Exclusive, because a data connection must reach the process that has the session.
    const onBusy = (busy: BusyPort): void => observe({ event: 'port-busy', ...busy });
    let port: PassivePort | undefined = undefined;
    // Before the server listens, so that no connection is left without a handler. Without a session there is no lease.
    server.on('connection', (socket) => {
      if (port === undefined) socket.resetAndDestroy();
      else this.#accept(port, socket);
    });
    const boundPort = await listen(server, { host, port: number, exclusive: true, onBusy }, 'Passive port');
    port = { number: boundPort, server, leases: new Set(), lastLeaseNumber: 0 };
    server.on('error', (error) => observe({ event: 'unexpected-error', error }));
    this.#ports.push(port);
  }

  #accept(port: PassivePort, socket: Socket): void {
    socket.on('error', ignoreSocketError);
    // A connection that its peer has reset already has no address (getpeername(2) fails).
    const address = socket.remoteAddress === undefined ? undefined : foldIpv4Mapped(socket.remoteAddress);
    const lease = address === undefined ? undefined : this.#claims.get(address)?.leases.get(port.number);
    if (lease === undefined) {
      this.#observeStray(port, address);
      socket.resetAndDestroy();
      return;
    }
    if (takesOperationsReserve(socket)) {
      socket.resetAndDestroy();
      lease.close(['LIMIT-DESCRIPTORS', 'Too many connections are open; try again later.']);
      return;
    }
    lease.accept(socket);
  }

  #observeStray(port: PassivePort, address: string | undefined): void {
    // With several leases it is unknown which one the connection was meant for.
    const [onlyLease] = port.leases.size === 1 ? port.leases : [];
    if (address === undefined) onlyLease?.reportReset();
    else onlyLease?.reportStranger();
    const expiredAtMs = address === undefined ? undefined : this.#expired.get(`${address} ${port.number}`);
    const { observe } = this.#options;
    observe({
      event: 'stray-data-connection',
      port: port.number,
      clientAddress: address ?? 'unknown',
      ...(onlyLease !== undefined && { expectedAddress: onlyLease.clientAddress }),
      ...(expiredAtMs !== undefined && { lateMs: Math.round(performance.now() - expiredAtMs) }),
      cause: strayCause(address, onlyLease?.clientAddress, expiredAtMs !== undefined),
    });
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
  // likely to be taken for that of another lease.
  #freePort({ leases }: Claims): PassivePort | undefined {
    let free: PassivePort | undefined;
    for (const port of this.#ports) {
      if (leases.has(port.number)) continue;
      if (free === undefined || port.lastLeaseNumber < free.lastLeaseNumber) free = port;
    }
    return free;
  }

  #grant(claims: Claims, port: PassivePort, holder: LeaseHolder, signal: AbortSignal): PortLease {
    port.lastLeaseNumber = ++this.#lastLeaseNumber;
    this.#description ??= describePorts(this.ports);
    const lease = new PortLease(
      { port: port.number, allPorts: this.#description },
      holder,
      this.#options.dataConnectionTimeoutMs,
      signal,
      {
        released: () => {
          port.leases.delete(lease);
          this.#release(claims, port, holder.clientAddress);
        },
        expired: () => this.#expired.set(`${holder.clientAddress} ${port.number}`, performance.now()),
        ended: () => {
          if (this.#leaseOfSession.get(holder.id) === lease) this.#leaseOfSession.delete(holder.id);
        },
      },
    );
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

  #queue(claims: Claims, holder: LeaseHolder, signal: AbortSignal): Promise<PortLease> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        abortListener[Symbol.dispose]();
      };
      const giveUp = (error: DataConnectionError): void => {
        settle();
        claims.waiting.delete(waiter);
        this.#dropIfEmpty(claims, holder.clientAddress);
        reject(error);
      };
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
        this.#options.observe({
          event: 'passive-ports-exhausted',
          sessionId,
          clientAddress,
          cause: 'PASV-EXHAUSTED',
        });
        giveUp(
          new DataConnectionError(
            'PASV-EXHAUSTED',
            'All passive ports wait for other connections from your address; try again.',
          ),
        );
      }, this.#options.leaseWaitMs);
      const abortListener = addAbortListener(signal, () => {
        giveUp(new DataConnectionError(causeOf(signal.reason), 'The session has ended.'));
      });
      claims.waiting.add(waiter);
    });
  }
}

/** Why a connection to a passive port belongs to no lease. */
function strayCause(
  address: string | undefined,
  expectedAddress: string | undefined,
  isLate: boolean,
): CauseCode {
  if (address === undefined) return 'PASV-RESET';
  if (isLate) return 'PASV-LATE';
  if (expectedAddress === undefined) return 'PASV-STRAY';
  return isPrivateAddress(address) && !isPrivateAddress(expectedAddress) ? 'PASV-PRIVATE' : 'PASV-ADDRESS';
}

/** As a firewall rule names them: `50000-50007`, or each port where there are gaps. */
export function describePorts(ports: readonly number[]): string {
  const [first = 0] = ports;
  const last = ports.at(-1) ?? first;
  if (ports.length === 1) return `${first}`;
  return last - first === ports.length - 1 ? `${first}-${last}` : ports.join(', ');
}
