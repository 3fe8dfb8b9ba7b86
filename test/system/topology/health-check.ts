/** One target's health as a Network Load Balancer sees it: HTTP on the health port, thresholds, states. */
import { connect } from 'node:net';
import { localHeader } from './proxy-header.ts';
import type { TargetGroup } from './topology.ts';

export type Health = 'initial' | 'healthy' | 'unhealthy';

export class HealthCheck {
  health: Health = 'initial';
  readonly #timer: NodeJS.Timeout;
  #successes = 0;
  #failures = 0;
  #running = false;

  /** `secondMs` is how long a second of the template lasts; `changed` is called with every new state. */
  constructor(group: TargetGroup, address: string, secondMs: number, changed: (health: Health) => void) {
    const { intervalSeconds, healthyThreshold, unhealthyThreshold } = group.healthCheck;
    const check = async (): Promise<void> => {
      if (this.#running) return;
      this.#running = true;
      const passed = await probe(group, address);
      this.#running = false;
      this.#successes = passed ? this.#successes + 1 : 0;
      this.#failures = passed ? 0 : this.#failures + 1;
      const before = this.health;
      if (this.#successes >= healthyThreshold) this.health = 'healthy';
      else if (this.#failures >= unhealthyThreshold && before !== 'initial') this.health = 'unhealthy';
      if (this.health !== before) changed(this.health);
    };
    this.#timer = setInterval(() => void check(), intervalSeconds * secondMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

function probe({ healthCheck, proxyProtocol }: TargetGroup, address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: healthCheck.port });
    let answer = '';
    socket.setTimeout(5000, () => socket.destroy());
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(/^HTTP\/1\.1 200 /.test(answer)));
    socket.setEncoding('latin1').on('data', (text: string) => (answer += text));
    // A group with PROXY headers has one in front of its health checks as well, HTTP or not.
    if (proxyProtocol) socket.write(localHeader());
    socket.write(`GET ${healthCheck.path} HTTP/1.1\r\nHost: ${address}\r\nConnection: close\r\n\r\n`);
  });
}
