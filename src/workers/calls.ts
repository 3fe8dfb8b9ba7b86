/** What the primary and its worker processes call of each other. Arguments and results survive JSON. */
import type { MetricSnapshot } from '../observability/merged-metrics.ts';
import type { GatewayStatus } from '../observability/gateway-status.ts';
import type { LoginResult } from '../users/login-checks.ts';
import type { Ban } from '../users/login-throttle.ts';
import type { CountChanges } from './session-counts.ts';
import type { Share } from './shares.ts';

export type StartRequest = Share & {
  /** Of all workers together. */
  readonly workers: number;
  readonly operationsPort: number;
  /** Whether it is the first run of this worker since the primary started. */
  readonly isFirstRun: boolean;
  /** Base64. Key of the fingerprints of wrong passwords, the same in all workers. */
  readonly fingerprintKey: string;
  readonly bans: readonly Ban[];
};

/** The ports of one worker; all workers share the control ports. */
export type StartedPorts = {
  readonly controlPort: number;
  readonly implicitTlsPort?: number;
  readonly passivePorts: readonly number[];
};

/** A version of a secret. The text is absent where the caller has that version already. */
export type SecretVersion = { readonly version: number; readonly text?: string };

/** Answered by a worker. */
export type WorkerCalls = {
  /** Starts the service; rejects with the text for the operator if that is not possible. */
  start(request: StartRequest): Promise<StartedPorts>;
  status(nothing: null): GatewayStatus | Promise<GatewayStatus>;
  metrics(nothing: null): Promise<readonly MetricSnapshot[]>;
  drain(nothing: null): void;
  /** Cancels a drain; false if it has ended sessions. */
  serve(nothing: null): boolean | Promise<boolean>;
  /** The result of a login that another worker has checked. */
  login(result: LoginResult): void;
  stop(request: { readonly reason: string; readonly drainMs: number }): void;
};

/** Answered by the primary. */
export type PrimaryCalls = {
  /** The newest version of a secret that the primary could use. */
  secret(request: { readonly arn: string; readonly known: number }): SecretVersion;
  /** Counts sessions; returns the claims that are refused. */
  count(changes: CountChanges): readonly number[];
  /** The result of a login, for the other workers. */
  login(result: LoginResult): void;
};
