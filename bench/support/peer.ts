/** A server under comparison: the gateway or one of its peers, all in front of the same S3 server. */
import { spawn } from 'node:child_process';
import { endChild, portAnswers } from '../../test/support/loopback-port.ts';
import type { Account } from './ftp-client.ts';

/** The S3 server of the comparison. */
export type S3Target = {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** PEM file of the server's certificate. */
  readonly caFile: string;
};

/** PEM files for FTPS. */
export type TlsFiles = { readonly certificate: string; readonly key: string };

export type Peer = {
  readonly name: string;
  readonly version: string;
  readonly pid: number;
  readonly account: Account;
  stop(): Promise<void>;
};

/** Starts a server and waits until its port accepts connections. Throws its output if it exits before that. */
export async function startPeer(options: {
  readonly name: string;
  readonly version: string;
  readonly program: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly account: Account;
  /** 30 s by default. */
  readonly startTimeoutMs?: number;
}): Promise<Peer> {
  const child = spawn(options.program, options.arguments, {
    env: { ...process.env, ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  const keep = (text: Buffer): void => {
    printed = (printed + text.toString()).slice(-4000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  try {
    await portAnswers(options.account.port, child, options.startTimeoutMs);
  } catch (cause) {
    throw new Error(
      `${options.name} did not start:
${printed}`,
      { cause },
    );
  }
  if (child.pid === undefined) throw new Error(`${options.name} has no process`);
  return {
    name: options.name,
    version: options.version,
    pid: child.pid,
    account: options.account,
    stop: () => endChild(child),
  };
}
