/** FTP clients as their users run them, reduced to the deeds every one of them should manage. */
import { spawn } from 'node:child_process';

export type Security = 'plain' | 'explicit' | 'implicit';

/** The gateway as a client needs to know it. */
export type Server = {
  readonly host: string;
  /** Port that belongs to the security. */
  readonly port: number;
  readonly security: Security;
  readonly username: string;
  readonly password: string;
  /** PEM file of the gateway's certificate, which names `localhost` and 127.0.0.1. */
  readonly caFile: string;
  /** How the client asks for a passive port; undefined: as it does by itself. Not every client can be made to. */
  readonly passive?: 'PASV' | 'EPSV' | undefined;
};

export type Deed =
  | { readonly deed: 'put'; readonly local: string; readonly remote: string }
  | { readonly deed: 'get'; readonly remote: string; readonly local: string }
  /** Prints one name a line, perhaps among others. */
  | { readonly deed: 'list'; readonly directory: string }
  /** The local file holds the first bytes already; `offsetBytes` says how many. */
  | {
      readonly deed: 'resume-get';
      readonly remote: string;
      readonly local: string;
      readonly offsetBytes: number;
    }
  /** The remote file holds the first bytes already. */
  | {
      readonly deed: 'resume-put';
      readonly local: string;
      readonly remote: string;
      readonly offsetBytes: number;
    }
  | { readonly deed: 'rename'; readonly from: string; readonly to: string }
  | { readonly deed: 'delete'; readonly path: string };

export type Invocation = {
  readonly program: string;
  readonly arguments: readonly string[];
  readonly input?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Where it runs, if not here. */
  readonly directory?: string;
};

export type Client = {
  readonly name: string;
  readonly securities: readonly Security[];
  /** A call that succeeds where the client is installed. */
  readonly probe: Invocation;
  /** Environment variable with which one process repeats the deed so many times, each time in a session of its own. */
  readonly timesVariable?: string;
  /** How the client does it, or undefined for what it cannot do at all. */
  invocation(server: Server, deed: Deed): Invocation | undefined;
};

/**
 * Runs a program to its end and returns what it printed. Rejects, with everything it printed, when it fails or takes
 * longer than `timeoutMs`.
 */
export function run(invocation: Invocation, timeoutMs = 60_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(invocation.program, invocation.arguments, {
      cwd: invocation.directory,
      env: { ...process.env, LC_ALL: 'C.UTF-8', ...invocation.environment },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    let output = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    child.stdin.on('error', () => undefined);
    child.stdin.end(invocation.input ?? '');
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve(output);
      else
        reject(
          new Error(
            `${invocation.program} ${invocation.arguments.join(' ')} ended with ${String(code ?? signal)}\n${output}${errors}`,
          ),
        );
    });
  });
}

/**
 * Why the client cannot be tried here, or undefined where it can. With REQUIRE_CLIENTS=1, as in CI, a client that is
 * missing is a failure of the test and never a skip.
 */
export async function missing(client: Pick<Client, 'name' | 'probe'>): Promise<string | undefined> {
  try {
    await run(client.probe, 30_000);
    return undefined;
  } catch (error) {
    if (process.env['REQUIRE_CLIENTS'] === '1') throw error;
    return `${client.name} is not installed (${client.probe.program})`;
  }
}
