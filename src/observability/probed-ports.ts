/**
 * Passive ports that a load balancer has probed (`/healthz/50002`). A load balancer does not forward connections to a port
 * before it probes that port, so a reply to PASV must not name it earlier.
 */
export class ProbedPorts {
  readonly #missing: Set<number>;
  readonly #ports: ReadonlySet<number>;

  constructor(ports: readonly number[]) {
    this.#ports = new Set(ports);
    this.#missing = new Set(ports);
  }

  /** Records a probe. Returns false if the port is not a passive port of this gateway. */
  probed(port: number): boolean {
    this.#missing.delete(port);
    return this.#ports.has(port);
  }

  /** Whether every port has been probed. */
  get isComplete(): boolean {
    return this.#missing.size === 0;
  }
}
