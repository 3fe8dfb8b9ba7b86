/** What the tests of protection share: a gateway that measures itself, and the round trips of a session beside the load. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Dialogue } from '../../support/dialogue.ts';
import type { S3Server } from '../../support/s3-server.ts';
import type { Measurement, Setting } from './measured-gateway.ts';

const program = fileURLToPath(new URL('./measured-gateway.ts', import.meta.url));

/** A gateway in a process of its own. */
export class MeasuredGateway {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start(
    { endpoint, bucket }: Pick<S3Server, 'endpoint' | 'bucket'>,
    options: Setting['options'] = {},
  ): Promise<MeasuredGateway> {
    const setting: Setting = { endpoint, bucket, options };
    const child = fork(program, [JSON.stringify(setting)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const { controlPort } = await measure(child);
    return new MeasuredGateway(child, controlPort);
  }

  /** What happened since the last measurement. */
  async measure(): Promise<Measurement> {
    return await measure(this.#child);
  }

  async close(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.disconnect();
    await exited;
  }
}

async function measure(child: ChildProcess): Promise<Measurement> {
  const answered = once(child, 'message') as Promise<[Measurement]>;
  child.send('measure');
  const [measurement] = await answered;
  return measurement;
}

/**
 * Sends NOOP one after another in a session of its own until the work is over. Resolves to the round trip that 99 of 100 do not
 * exceed: the few slowest are those during which the machine ran other processes.
 */
export async function noopMs(port: number, work: Promise<unknown>, username = 'alice'): Promise<number> {
  const dialogue = await Dialogue.logIn({ port }, username);
  const state = { isOver: false };
  const over = work.finally(() => (state.isOver = true));
  const roundTripsMs: number[] = [];
  while (!state.isOver) {
    const startedAtMs = performance.now();
    await dialogue.says('NOOP', /^200 /);
    roundTripsMs.push(performance.now() - startedAtMs);
    await passes(2);
  }
  await over;
  dialogue.destroy();
  return roundTripsMs.sort((one, other) => one - other)[Math.ceil(roundTripsMs.length * 0.99) - 1] ?? 0;
}

/** The load lasts this long; what is measured happens meanwhile. */
export function passes(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Figures as a line for the test's output. */
export function report(...figures: readonly object[]): string {
  return JSON.stringify(Object.assign({}, ...figures), (_key, value: unknown) =>
    typeof value === 'number' ? Math.round(value * 10) / 10 : value,
  );
}
