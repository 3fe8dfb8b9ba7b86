/** The gateway as a separate process, controlled by environment and signals alone, and observed through its log. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { GatewayEvent } from '../../src/observability/event.ts';

export type ProcessEnd = {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
};

type EventName = GatewayEvent['event'];
type LogLine<Name extends EventName> = Extract<GatewayEvent, { event: Name }> & { readonly level: string };

/** One process on free ports of 127.0.0.1, and nothing of this machine's own environment. */
const surroundings = {
  LISTEN_ADDRESS: '127.0.0.1',
  CONTROL_PORT: '0',
  PASSIVE_PORTS: '0',
  OPERATIONS_PORT: '0',
  WORKERS: '1',
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'local',
  AWS_SECRET_ACCESS_KEY: 'local',
};

/** Those that have not ended. */
const running = new Set<GatewayProcess>();

/** For a suite's `after`: a test that failed half-way must not leave its process behind. */
export async function endGatewayProcesses(): Promise<void> {
  await Promise.all([...running].map((gateway) => gateway.stop('SIGKILL')));
}

export class GatewayProcess {
  readonly child: ChildProcess;
  /** Everything on standard output so far, line by line. */
  readonly lines: string[] = [];
  readonly ended: Promise<ProcessEnd>;
  readonly #waiting = new Set<() => void>();
  #isOver = false;

  /** Runs a file of src/; `environment` is added to free ports and AWS credentials that no server checks. */
  constructor(
    environment: Readonly<Record<string, string>>,
    {
      program = 'src/main.ts',
      arguments: args = [] as readonly string[],
      cwd = process.cwd(),
      /** How many file descriptors it may have; needs `prlimit` (util-linux), which becomes the gateway's process. */
      maxDescriptors = undefined as number | undefined,
    } = {},
  ) {
    const file = fileURLToPath(new URL(`../../${program}`, import.meta.url));
    const limit =
      maxDescriptors === undefined ? [] : ['prlimit', `--nofile=${maxDescriptors}:${maxDescriptors}`];
    const [command = '', ...words] = [...limit, process.execPath, file, ...args];
    this.child = spawn(command, words, {
      cwd,
      env: { PATH: process.env['PATH'], ...surroundings, ...awsOf(process.env), ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = createInterface({ input: this.child.stdout! });
    output.on('line', (line) => {
      this.lines.push(line);
      this.#wake();
    });
    running.add(this);
    const stderr = text(this.child.stderr!);
    const outputEnded = once(output, 'close');
    this.ended = once(this.child, 'exit').then(async () => {
      await outputEnded;
      this.#isOver = true;
      running.delete(this);
      this.#wake();
      return { code: this.child.exitCode, signal: this.child.signalCode, stderr: await stderr };
    });
  }

  /** The first line that fits, as soon as it is there. Throws where the process ends without one. */
  async line<Found>(find: (line: string) => Found | undefined): Promise<Found> {
    let seen = 0;
    for (;;) {
      for (; seen < this.lines.length; seen += 1) {
        const found = find(this.lines[seen]!);
        if (found !== undefined) return found;
      }
      if (this.#isOver) {
        const { code, stderr } = await this.ended;
        throw new Error(
          `The process ended with ${code} and without it:\n${this.lines.join('\n')}\n${stderr}`,
        );
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** The first log line of that event for which `fits` holds. */
  async event<Name extends EventName>(
    name: Name,
    fits: (event: LogLine<Name>) => boolean = () => true,
  ): Promise<LogLine<Name>> {
    return await this.line((line) => {
      const event = JSON.parse(line) as LogLine<Name>;
      return event.event === name && fits(event) ? event : undefined;
    });
  }

  /** Sends the signal and waits for the end. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<ProcessEnd> {
    this.child.kill(signal);
    return await this.ended;
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

/** For suites that run on a server other than the embedded one. */
function awsOf(environment: NodeJS.ProcessEnv): Record<string, string | undefined> {
  const isWanted = ([name]: readonly [string, unknown]): boolean =>
    name.startsWith('AWS_') || name === 'NODE_EXTRA_CA_CERTS';
  return Object.fromEntries(Object.entries(environment).filter(isWanted));
}
