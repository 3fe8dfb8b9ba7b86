/** Opens a listening TCP socket. */
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { getSystemErrorMap } from 'node:util';

/** The kernel's own maximum (4,096 on Linux). A smaller backlog would drop SYNs when many clients connect in one second. */
const backlog = 4096;

export type ListenOptions = {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** In a worker of `node:cluster`: whether this process alone accepts its connections, instead of all workers in turn. */
  readonly exclusive?: boolean;
};

/**
 * Resolves to the port that was opened. Rejects with an error that names the port, the host and the reason, and that has the
 * operating system's error as its cause; `name` says what the port is for, as in `Control port`.
 */
export async function listen(
  server: Server,
  { host, port, exclusive = false }: ListenOptions,
  name: string,
): Promise<number> {
  const listening = once(server, 'listening');
  server.listen({ host, port, backlog, exclusive });
  try {
    await listening;
  } catch (error) {
    const { errno = 0, code, message, name: kind } = error as NodeJS.ErrnoException;
    const reason = getSystemErrorMap().get(errno)?.[1] ?? message;
    throw new Error(`${name} ${port} on ${host} cannot be opened: ${reason} (${code ?? kind}).`, {
      cause: error,
    });
  }
  return (server.address() as AddressInfo).port;
}
