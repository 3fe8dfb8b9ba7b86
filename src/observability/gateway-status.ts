/** The state of the gateway for operators and controllers, as `/status` of the operations port shows it. */

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
  /** Each worker process that runs; absent where there is only one process. */
  readonly workers?: readonly WorkerStatus[];
};

/** One worker process in `/status`. */
export type WorkerStatus = {
  readonly worker: number;
  readonly pid: number;
  readonly passivePorts: readonly number[];
  readonly sessions: number;
  readonly transfers: number;
};
