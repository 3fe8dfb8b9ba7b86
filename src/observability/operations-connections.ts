/**
 * The connections of the operations port. Any client that reaches the port may open any number, so a new one replaces the oldest that waits
 * for its next request: health checks, which send their request immediately, always get a response. Pure.
 */

export type Droppable = { destroy(): unknown };

export type ConnectionLimits = { readonly maxConnections: number; readonly maxConnectionsPerAddress: number };

export class OperationsConnections {
  readonly #limits: ConnectionLimits;
  /** By address; oldest first. */
  readonly #waiting = new Map<string, Set<Droppable>>();
  readonly #busy = new Map<string, Set<Droppable>>();
  #total = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /** Returns false where every connection of the address, or of all, is being answered, so that none can be dropped. */
  add(address: string, connection: Droppable): boolean {
    if (this.#countOf(address) >= this.#limits.maxConnectionsPerAddress && !this.#drop(address)) return false;
    if (this.#total >= this.#limits.maxConnections && !this.#drop(this.#largest)) return false;
    put(this.#waiting, address, connection);
    this.#total += 1;
    return true;
  }

  /** A request has arrived on the connection. */
  requested(address: string, connection: Droppable): void {
    if (take(this.#waiting, address, connection)) put(this.#busy, address, connection);
  }

  answered(address: string, connection: Droppable): void {
    if (take(this.#busy, address, connection)) put(this.#waiting, address, connection);
  }

  remove(address: string, connection: Droppable): void {
    const isRemoved = take(this.#waiting, address, connection) || take(this.#busy, address, connection);
    if (isRemoved) this.#total -= 1;
  }

  #countOf(address: string): number {
    return (this.#waiting.get(address)?.size ?? 0) + (this.#busy.get(address)?.size ?? 0);
  }

  /** The address with the most connections that wait. */
  get #largest(): string {
    let largest = '';
    let size = 0;
    for (const [address, connections] of this.#waiting) {
      if (connections.size > size) [largest, size] = [address, connections.size];
    }
    return largest;
  }

  #drop(address: string): boolean {
    const [oldest] = this.#waiting.get(address) ?? [];
    if (oldest === undefined) return false;
    this.remove(address, oldest);
    oldest.destroy();
    return true;
  }
}

function put(map: Map<string, Set<Droppable>>, address: string, connection: Droppable): void {
  const connections = map.get(address) ?? new Set();
  connections.add(connection);
  map.set(address, connections);
}

function take(map: Map<string, Set<Droppable>>, address: string, connection: Droppable): boolean {
  const connections = map.get(address);
  if (connections?.delete(connection) !== true) return false;
  if (connections.size === 0) map.delete(address);
  return true;
}
