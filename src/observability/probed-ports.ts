/**
 * Which passive ports a load balancer probes (`/healthz/50002`). A port that it does not probe yet is one it does not serve yet,
 * and a reply to PASV must not name it.
 */
export class ProbedPorts {
  readonly #missing: Set<number>;
  readonly #ports: ReadonlySet<number>;

  constructor(ports: readonly number[]) {
    this.#ports = new Set(ports);
    this.#missing = new Set(ports);
  }

  /** Notes a probe; returns false where the port is not one of ours. */
  probed(port: number): boolean {
    this.#missing.delete(port);
    return this.#ports.has(port);
  }

  /** Whether every port has been probed. */
  get isComplete(): boolean {
    return this.#missing.size === 0;
  }
}
