/** The primary's side of one worker process: its end, its log lines, and calls to it. */
import cluster from 'node:cluster';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { WorkerCalls } from './calls.ts';
import { type Calls, Channel } from './channel.ts';

export type WorkerEnd = {
  readonly code: number | null;
  readonly signal: string | null;
  /** Its watchdog has ended it. */
  readonly wasBlocked: boolean;
};

export type WorkerProcessOptions = {
  /** Added to the environment of the primary. */
  readonly environment: NodeJS.ProcessEnv;
  /** What the worker can call. */
  readonly calls: Calls;
  /** Receives the lines of the worker's standard output, as many as have arrived, without the last line end. */
  readonly writeLines: (lines: string) => void;
  /** How the line begins that the watchdog of the worker writes. */
  readonly blockedLine: string;
};

/** How long `status` and `metrics` wait for a worker that may be blocked. */
const answerTimeoutMs = 1_000;

/** The calls that can be repeated at will. */
type Question = 'status' | 'metrics';

export class WorkerProcess {
  readonly pid: number;
  readonly channel: Channel<WorkerCalls>;
  /** Resolves when the process has ended and all its log lines were read. Never rejects. */
  readonly ended: Promise<WorkerEnd>;
  readonly #kill: (signal: NodeJS.Signals) => void;
  readonly #asked = new Map<Question, Promise<unknown>>();
  readonly #answers = new Map<Question, unknown>();

  private constructor(worker: ReturnType<typeof cluster.fork>, options: WorkerProcessOptions) {
    const { calls, writeLines, blockedLine } = options;
    const { process: child } = worker;
    this.pid = child.pid ?? 0;
    this.channel = new Channel<WorkerCalls>(worker, calls);
    this.#kill = (signal) => void child.kill(signal);
    // A message that cannot be sent any more; the end follows.
    worker.on('error', () => undefined);
    let wasBlocked = false;
    if (child.stdout !== null) {
      onLines(child.stdout, (lines) => {
        wasBlocked ||= lines.startsWith(blockedLine) || lines.includes(`\n${blockedLine}`);
        writeLines(lines);
      });
    }
    // Without `once` of node:events, which rejects at 'error': one that could not be spawned emits 'error', then 'close'.
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.channel.close(new Error('the worker process has ended'));
        resolve({ code, signal, wasBlocked });
      });
    });
  }

  /** `program` is the file to run with the arguments of Node of the primary. */
  static fork(program: string, options: WorkerProcessOptions): WorkerProcess {
    cluster.schedulingPolicy = cluster.SCHED_RR;
    // Standard output is a pipe, so that lines of several processes never mix.
    cluster.setupPrimary({ exec: program, args: [], stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
    return new WorkerProcess(cluster.fork(options.environment), options);
  }

  /**
   * The answer to the question, or, from a worker that does not answer in time, the last one it gave. A question is not
   * repeated before it is answered.
   */
  async latest<Name extends Question>(name: Name): Promise<Answer<Name> | undefined> {
    let asked = this.#asked.get(name);
    if (asked === undefined) {
      asked = this.channel
        .call(name, null)
        .then((answer) => this.#answers.set(name, answer))
        .catch(() => undefined)
        .finally(() => this.#asked.delete(name));
      this.#asked.set(name, asked);
    }
    const timeout = new AbortController();
    const { signal } = timeout;
    await Promise.race([asked, delay(answerTimeoutMs, undefined, { signal }).catch(() => undefined)]);
    timeout.abort();
    return this.lastAnswer(name);
  }

  /** The last answer to the question; undefined before the first one. */
  lastAnswer<Name extends Question>(name: Name): Answer<Name> | undefined {
    return this.#answers.get(name) as Answer<Name> | undefined;
  }

  kill(signal: NodeJS.Signals): void {
    this.#kill(signal);
  }
}

type Answer<Name extends Question> = Awaited<ReturnType<WorkerCalls[Name]>>;

/**
 * Passes on whole lines together: under load there are many in one read, and the primary writes those of all workers. A last line
 * without an end is passed on at the end.
 */
function onLines(stream: Readable, pass: (lines: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const end = text.lastIndexOf('\n');
    if (end === -1) rest += text;
    else {
      pass(rest + text.slice(0, end));
      rest = text.slice(end + 1);
    }
  });
  stream.on('end', () => {
    if (rest !== '') pass(rest);
  });
}
