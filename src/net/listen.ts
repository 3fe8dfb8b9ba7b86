/** Opens a listening TCP socket. */
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { getSystemErrorMap } from 'node:util';
import { type PortHolder, portHolder } from './port-holder.ts';

/** The kernel's own maximum (4,096 on Linux). A smaller backlog would drop SYNs when many clients connect in one second. */
const backlog = 4096;

/**
 * How long to wait for a port that an outgoing connection of this machine holds: longer than Linux keeps one in TIME_WAIT (60 s,
 * `TCP_TIMEWAIT_LEN`).
 */
const busyTimeoutMs = 70_000;
const busyIntervalMs = 250;

/** A port that cannot be opened yet: an outgoing connection holds it. */
export type BusyPort = {
  /** What the port is for. */
  readonly name: string;
  /** The port that cannot be opened yet. */
  readonly port: number;
  /** Address and port of the connection's other end. */
  readonly remote: string;
  /** Of the connection, as TCP names it: `TIME_WAIT`. */
  readonly state: string;
};

export type ListenOptions = {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** In a worker of `node:cluster`: whether this process alone accepts its connections, instead of all workers in turn. */
  readonly exclusive?: boolean;
  /** Called once where the port is held by an outgoing connection, whose end is waited for. */
  readonly onBusy?: ((busy: BusyPort) => void) | undefined;
};

/** A port cannot be opened. The cause is the error of the operating system. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  /** What holds the port, where it is in use and the system tells. */
  readonly holder: PortHolder | undefined;

  constructor(message: string, cause: unknown, holder: PortHolder | undefined) {
    super(message, { cause });
    this.holder = holder;
  }
}

/**
 * Resolves to the port that was opened. A port that an outgoing connection holds is tried again for `busyTimeoutMs`.
 * @param name says what the port is for, as in `Control port`.
 * @throws ListenError with the port, the host, the reason, and what holds the port.
 */
export async function listen(server: Server, options: ListenOptions, name: string): Promise<number> {
  const { host, port, exclusive = false, onBusy } = options;
  const giveUpAtMs = performance.now() + busyTimeoutMs;
  let isReported = false;
  for (;;) {
    try {
      const listening = once(server, 'listening');
      server.listen({ host, port, backlog, exclusive });
      await listening;
      return (server.address() as AddressInfo).port;
    } catch (error) {
      const holder = isInUse(error) ? await portHolder(port) : undefined;
      if (holder?.kind !== 'connection' || performance.now() >= giveUpAtMs) {
        throw new ListenError(messageOf(error, options, name, holder), error, holder);
      }
      const { remote, state } = holder;
      if (!isReported) onBusy?.({ name, port, remote, state });
      isReported = true;
      await delay(busyIntervalMs);
    }
  }
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
}

function messageOf(
  error: unknown,
  { host, port }: ListenOptions,
  name: string,
  holder: PortHolder | undefined,
): string {
  const { errno = 0, code, message, name: kind } = error as NodeJS.ErrnoException;
  const reason = `${getSystemErrorMap().get(errno)?.[1] ?? message} (${code ?? kind})`;
  const by = holder?.kind === 'connection' ? ` by a connection to ${holder.remote} (${holder.state})` : '';
  return `${name} ${port} on ${host} cannot be opened: ${reason}${by}.`;
}
