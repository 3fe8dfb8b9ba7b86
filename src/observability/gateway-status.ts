/** The state of the gateway for operators and controllers, as `/status` of the operations port shows it. */

import type { CauseCode } from './cause.ts';

/** What `/status` shows. */
export type GatewayStatus = {
  readonly version: string;
  readonly stage: 'starting' | 'serving' | 'draining' | 'drained';
  readonly ready: boolean;
  /** Whether POST `/serve` can still cancel the drain. */
  readonly reversible: boolean;
  readonly sessions: number;
  readonly transfers: number;
  readonly oldestTransferSeconds: number;
  /** Bans because of wrong passwords, those that end first; a hundred at most. */
  readonly loginBans: readonly LoginBan[];
  /** The operations of the storage that fail now; empty while all is well. */
  readonly failingStorage: readonly FailingStorage[];
  /** Each worker process that runs; absent where there is only one process. */
  readonly workers?: readonly WorkerStatus[];
};

/** With `username`, only that user is refused, and only from that source. */
export type LoginBan = {
  /** An IPv4 address, or the /64 network of an IPv6 address. */
  readonly source: string;
  readonly username?: string;
  /** ISO 8601. */
  readonly until: string;
};

/** An operation of the storage that fails, in `/status`. */
export type FailingStorage = {
  readonly operation: string;
  readonly bucket?: string;
  readonly endpoint?: string;
  readonly cause: CauseCode;
  readonly errorName: string;
  /** Of the first failure since the last success, in ISO 8601. */
  readonly since: string;
  readonly failures: number;
};

/** One worker process in `/status`. */
export type WorkerStatus = {
  readonly worker: number;
  readonly pid: number;
  readonly passivePorts: readonly number[];
  readonly sessions: number;
  readonly transfers: number;
};
