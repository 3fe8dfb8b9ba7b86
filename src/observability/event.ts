import type { DescriptorNeed } from '../util/descriptors.ts';

/**
 * What happens in the gateway that an operator wants to see. Every part reports through one `Observe`; the log lines and
 * the metrics are both derived from these events, so neither can miss what the other shows.
 */
export type GatewayEvent =
  | {
      readonly event: 'session-opened';
      readonly sessionId: string;
      readonly clientAddress: string;
      readonly tls: boolean;
    }
  | {
      readonly event: 'session-closed';
      readonly sessionId: string;
      readonly reason: string;
      readonly durationMs: number;
    }
  /**
   * A control connection that never became a session: full, too many from one address, bad PROXY header, draining.
   * What stands before a colon in the reason is one of a few, and a metric's label; what follows is detail.
   */
  | { readonly event: 'session-refused'; readonly clientAddress: string; readonly reason: string }
  | {
      readonly event: 'login';
      readonly sessionId: string;
      readonly clientAddress: string;
      readonly username: string;
      readonly outcome: 'accepted' | 'refused' | 'throttled' | 'failed';
      readonly tls: boolean;
    }
  | {
      readonly event: 'transfer';
      readonly sessionId: string;
      readonly username: string;
      readonly verb: string;
      readonly pathname: string;
      readonly sizeBytes: number;
      /** Of an upload that continues a file or an interrupted upload (REST, APPE): the bytes in front of those that came. */
      readonly offsetBytes?: number;
      readonly resumed?: true;
      readonly durationMs: number;
      /** `aborted`: the client or the drain ended it; `failed`: the gateway or the storage did. */
      readonly outcome: 'completed' | 'aborted' | 'failed';
      readonly reason?: string;
      readonly tls: boolean;
    }
  /** A connection to a passive port that no lease waits for. */
  | { readonly event: 'stray-data-connection'; readonly port: number; readonly clientAddress: string }
  /** A PASV or EPSV that got no lease within its wait. */
  | { readonly event: 'passive-ports-exhausted'; readonly sessionId: string; readonly clientAddress: string }
  | {
      readonly event: 'storage-error';
      readonly sessionId?: string;
      readonly operation: string;
      readonly bucket?: string;
      readonly errorName: string;
      readonly httpStatus?: number;
      /** A multipart upload that could not be aborted, for `aws s3api abort-multipart-upload`. */
      readonly key?: string;
      readonly uploadId?: string;
    }
  /** An object that no FTP name can express, or a directory hidden by a file of its name: listings leave it out. */
  | {
      readonly event: 'unlisted-object';
      readonly bucket: string;
      readonly key: string;
      readonly reason: string;
    }
  /** So many unfinished uploads, which a gateway that was killed left below the prefix, are gone now. */
  | {
      readonly event: 'abandoned-uploads-aborted';
      readonly bucket: string;
      readonly prefix: string;
      readonly uploads: number;
    }
  /** The gateway serves; the port numbers are those it listens on. */
  | {
      readonly event: 'gateway-started';
      readonly version: string;
      readonly controlPort: number;
      readonly implicitTlsPort?: number;
      readonly passivePorts: readonly number[];
      readonly operationsPort: number;
    }
  /** The process may have fewer descriptors than `MAX_SESSIONS` can need: beyond the limit new sessions are refused. */
  | ({ readonly event: 'descriptors-insufficient' } & DescriptorNeed)
  /** No new sessions; those that run may finish. */
  | { readonly event: 'drain-started'; readonly reason: string; readonly sessions: number }
  /** The operations port was asked to drain: not ready, yet everything is served. */
  | { readonly event: 'drain-requested'; readonly sessions: number }
  /** That drain was taken back before it ended a session. */
  | { readonly event: 'drain-cancelled'; readonly sessions: number }
  /** A session came though the gateway drains: the load balancer had not learned of it yet. */
  | { readonly event: 'session-while-draining' }
  /** Not every port was probed in time (`READY_AFTER_PROBES`), or the start took too long; the process ends with 1. */
  | { readonly event: 'readiness-timeout'; readonly seconds: number }
  | { readonly event: 'gateway-stopped'; readonly reason: string; readonly durationMs: number }
  /** A version of the users file is in force; each problem names a user who cannot log in. */
  | { readonly event: 'users-loaded'; readonly users: number; readonly problems: readonly string[] }
  | { readonly event: 'certificate-loaded'; readonly source: string }
  /** A later version could not be read or used: the last good one stays in force. */
  | {
      readonly event: 'config-reload-failed';
      readonly config: 'users' | 'certificate';
      readonly reason: string;
    }
  /** Anything that no other kind describes: a defect of ours until proven otherwise. */
  | { readonly event: 'unexpected-error'; readonly sessionId?: string; readonly error: unknown };

/** Takes an event; never throws, never waits. */
export type Observe = (event: GatewayEvent) => void;
