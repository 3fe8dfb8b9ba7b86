import type { CauseCode, SessionEndCause } from './cause.ts';
import type { BusyPort } from '../net/listen.ts';
import type { DescriptorNeed } from '../util/descriptors.ts';

/**
 * The events of the gateway. Every part reports through one `Observe`. Log lines and metrics are both derived from these
 * events, so they agree. Where an event has a `cause`, its log line has the cause's `side` too.
 */
export type GatewayEvent =
  /** A control connection was accepted, or, behind a load balancer, its PROXY header was read. */
  | {
      readonly event: 'session-opened';
      readonly sessionId: string;
      readonly clientAddress: string;
      readonly tls: boolean;
    }
  /** A session ended, for exactly one cause. `QUIT` and `CLIENT-CLOSED` are no failures. */
  | {
      readonly event: 'session-closed';
      readonly sessionId: string;
      readonly clientAddress: string;
      readonly username?: string;
      readonly cause: SessionEndCause;
      readonly durationMs: number;
      /** Since the last byte from the client on the control connection. */
      readonly idleMs: number;
    }
  /** A control connection that never became a session: full, too many from one address, bad PROXY header, draining. */
  | {
      readonly event: 'session-refused';
      readonly clientAddress: string;
      readonly cause: CauseCode;
      readonly detail?: string;
      /** The connection was reset without a reply: many were refused at once, or too few file descriptors were left. */
      readonly reset?: true;
    }
  /** A user name and a password were checked, or were refused without a check. */
  | {
      readonly event: 'login';
      readonly sessionId: string;
      readonly clientAddress: string;
      readonly username: string;
      readonly outcome: 'accepted' | 'refused' | 'throttled' | 'failed';
      /** Unless the login was accepted. */
      readonly cause?: CauseCode;
      readonly tls: boolean;
    }
  /**
   * Wrong passwords have banned a source (an IPv4 address, or the /64 network of an IPv6 address) for that long; with `username`,
   * that user only, from that source.
   */
  | {
      readonly event: 'login-ban';
      /** An IPv4 address, or the /64 network of an IPv6 address. */
      readonly source: string;
      readonly username?: string;
      /** How long the ban lasts. */
      readonly seconds: number;
      readonly cause: CauseCode;
    }
  /** One RETR, STOR, APPE, STOU, LIST, NLST or MLSD has ended, from its data connection to the final reply. */
  | {
      readonly event: 'transfer';
      readonly sessionId: string;
      readonly clientAddress: string;
      readonly username: string;
      readonly verb: string;
      readonly pathname: string;
      /** Content that was transferred, without what an interrupted upload had stored before. */
      readonly sizeBytes: number;
      /** Where the file or directory is stored. */
      readonly bucket?: string;
      readonly key?: string;
      /** Of the stored object, in a bucket with versioning. */
      readonly versionId?: string;
      /** Of the stored object as S3 names it, Base64: `CRC32 …`. */
      readonly checksum?: string;
      /** For uploads after REST and for APPE: the number of bytes before those of this transfer. */
      readonly offsetBytes?: number;
      /** The upload continued one that was stored in part. */
      readonly resumed?: true;
      readonly durationMs: number;
      /** `aborted`: by the client or the drain; `failed`: by the gateway or the storage. */
      readonly outcome: 'completed' | 'aborted' | 'failed';
      /** Unless the transfer was completed. */
      readonly cause?: CauseCode;
      /** What the error says beyond its cause. */
      readonly detail?: string;
      /** `passive`: the client connects to `dataPort`; `active`: the gateway connects to the client's `dataPort`. */
      readonly dataMode: 'passive' | 'active';
      /** The passive port, or the port that the client named. */
      readonly dataPort: number;
      /** From the 150 to the data connection, or to the end of the transfer without one. */
      readonly waitedMs?: number;
      /** Since the last byte on the control connection, for a transfer that ended with the session. */
      readonly controlIdleMs?: number;
      /** Something that may damage the file, although the transfer was completed. */
      readonly warning?: 'ASCII-BINARY';
      /** Whether the data connection was to be protected. */
      readonly tls: boolean;
      /** Of the data connection, once its handshake was done. */
      readonly tlsVersion?: string;
    }
  /**
   * A command other than a transfer that changes or would change something, or that was refused (4xx, 5xx). RNFR alone changes nothing: it
   * has a line where it is refused; the line of RNTO has both names of the rename.
   */
  | {
      readonly event: 'command';
      readonly sessionId: string;
      readonly clientAddress: string;
      /** Undefined before the login. */
      readonly username?: string;
      /** `unknown` for a verb that the gateway does not know: a client may have sent a password in its place. */
      readonly verb: string;
      /** The file or directory that the command is about; of RNTO, its name before the rename. */
      readonly pathname?: string;
      /** Of RNTO: the new name. */
      readonly to?: string;
      readonly bucket?: string;
      readonly key?: string;
      /** Of RNTO: the S3 object after the rename. */
      readonly toKey?: string;
      /** The argument of a command that is about no file. Never that of USER, PASS or ACCT. */
      readonly argument?: string;
      /** The first three digits of the reply. */
      readonly replyCode: number;
      /** `refused`: nothing was done, because of the command or its user; `failed`: by the gateway or the storage. */
      readonly outcome: 'completed' | 'refused' | 'failed';
      readonly cause?: CauseCode;
    }
  /**
   * Once an hour and when the gateway stops: what one user has done since the last summary, for users with a transfer or a failure.
   * Each process writes its own lines, so queries add them up. The first 1,000 users of an hour have a line each; one without
   * `username` is the sum of all others.
   */
  | {
      readonly event: 'partner-summary';
      readonly username?: string;
      /** The time since the last summary, or since the start. */
      readonly periodMs: number;
      /** When the last upload or download was completed (ISO 8601), since the start of the process. */
      readonly lastSuccess?: string;
      /** Completed STOR, STOU and APPE. */
      readonly uploads: number;
      /** Of these uploads. */
      readonly uploadedBytes: number;
      /** Completed RETR. */
      readonly downloads: number;
      /** Of these downloads. */
      readonly downloadedBytes: number;
      /** Completed LIST, NLST and MLSD. */
      readonly listings: number;
      /**
       * Transfers that were not completed (except by ABOR), logins of this user that were refused, and commands that were refused or
       * failed for a cause that is not routine.
       */
      readonly failures: number;
      /** How many of the failures had which cause. */
      readonly failuresByCause: Readonly<Partial<Record<CauseCode, number>>>;
    }
  /** A TLS handshake that failed or that nothing came after, or clear text where it was to be. */
  | {
      readonly event: 'tls-failed';
      /** Absent on an implicit-TLS port, where the handshake comes before the session. */
      readonly sessionId?: string;
      readonly clientAddress: string;
      /** Whether it was a control or a data connection. */
      readonly connection: 'control' | 'data';
      readonly cause: CauseCode;
      /** The client's alert (RFC 8446 6), such as `unknown_ca`. */
      readonly alert?: string;
      /** The error of OpenSSL or of the socket. */
      readonly errorCode?: string;
    }
  /** A connection to a passive port without a lease, which was reset. */
  | {
      readonly event: 'stray-data-connection';
      /** The passive port. */
      readonly port: number;
      /** `unknown` where the connection was reset before it was accepted. */
      readonly clientAddress: string;
      /** The client address of the one session that waited for a connection to this port. */
      readonly expectedAddress?: string;
      /** Since the gateway stopped waiting for a connection from this address to this port. */
      readonly lateMs?: number;
      readonly cause: CauseCode;
    }
  /** A PASV or EPSV that got no lease within its timeout. */
  | {
      readonly event: 'passive-ports-exhausted';
      readonly sessionId: string;
      readonly clientAddress: string;
      readonly cause: CauseCode;
    }
  /**
   * A request to the storage failed. With `retrying` the gateway tries again: at most one line for each cause and ten seconds;
   * without it the command or transfer failed.
   */
  | ({
      readonly event: 'storage-error';
      /** Whether the gateway sends the request again. */
      readonly retrying: boolean;
      /** With `retrying`: failed attempts of this cause since the last such line, this one included. */
      readonly failures?: number;
      /** A multipart upload that could not be aborted, for `aws s3api abort-multipart-upload`. */
      readonly key?: string;
      readonly uploadId?: string;
    } & StorageFault)
  /** A request has had no response for long; at most one line in ten seconds. */
  | {
      readonly event: 'storage-slow';
      readonly sessionId?: string;
      readonly operation: string;
      readonly bucket?: string;
      readonly endpoint?: string;
      readonly cause: 'STORAGE-NO-RESPONSE';
      /** Since the last byte that was sent to or received from the storage. */
      readonly waitingMs: number;
      /** Slow requests since the last such line, this one included. */
      readonly requests: number;
    }
  /** A request is sent again after this failure: one for each retry. */
  | ({ readonly event: 'storage-retry' } & StorageFault)
  /** An operation succeeds again that had been failing for long enough to be reported. */
  | {
      readonly event: 'storage-recovered';
      readonly operation: string;
      readonly bucket?: string;
      readonly cause: CauseCode;
      /** From the first failure to the success. */
      readonly failingMs: number;
      /** Failed requests in this time. */
      readonly failures: number;
    }
  /** Listings omit this: an object whose key is not a valid FTP name, or a directory with the name of a file. */
  | {
      readonly event: 'unlisted-object';
      readonly bucket: string;
      readonly key: string;
      readonly reason: string;
    }
  /** An interrupted upload was left in the storage, for its user to resume within RESUME_WINDOW_MINUTES. */
  | {
      readonly event: 'upload-kept';
      readonly sessionId?: string;
      readonly bucket: string;
      readonly key: string;
      readonly uploadId: string;
    }
  /** The number of abandoned uploads below the prefix that were aborted at start. */
  | {
      readonly event: 'abandoned-uploads-aborted';
      readonly bucket: string;
      /** Where the gateway looked for them: `S3_PREFIX`. */
      readonly prefix: string;
      /** How many there were. */
      readonly uploads: number;
    }
  /** The gateway accepts sessions. The port numbers are those it listens on. */
  | {
      readonly event: 'gateway-started';
      /** Of the gateway. */
      readonly version: string;
      /** Of the control connections. */
      readonly controlPort: number;
      /** Of control connections under implicit TLS. */
      readonly implicitTlsPort?: number;
      readonly passivePorts: readonly number[];
      /** Of `/healthz`, `/readyz`, `/metrics` and `/status`. */
      readonly operationsPort: number;
      /** Number of worker processes; absent where there is only one process. */
      readonly workers?: number;
    }
  /** `WORKERS=auto` starts fewer worker processes than there are cores. */
  | {
      readonly event: 'workers-limited';
      readonly workers: number;
      /** Cores that the gateway may use; absent where the limit is `task size`. */
      readonly cores?: number;
      /**
       * What is too little for more: the variable `PASSIVE_PORTS` or `TRANSFER_MEMORY_MIB`, or `memory`. `task size`: ECS did not report
       * the size of the task, so one core is assumed.
       */
      readonly limit: 'PASSIVE_PORTS' | 'TRANSFER_MEMORY_MIB' | 'memory' | 'task size';
      /** Why the size of the task is unknown. */
      readonly reason?: string;
    }
  /** A worker process accepts sessions. */
  | {
      readonly event: 'worker-started';
      readonly worker: number;
      readonly pid: number;
      readonly passivePorts: readonly number[];
    }
  /** A worker process has ended without being asked to, and its sessions with it. */
  | {
      readonly event: 'worker-ended';
      readonly cause: CauseCode;
      readonly worker: number;
      readonly pid: number;
      /** Its exit code; null where a signal ended it. */
      readonly code: number | null;
      /** The signal that ended it, such as `SIGKILL`. */
      readonly signal: string | null;
      /** Sessions that ended with it. */
      readonly sessions: number;
      /** Why it could not start, or that its event loop was blocked. */
      readonly reason?: string;
      /** Until it is started again; absent if it is not, because it ends in a loop. */
      readonly restartMs?: number;
    }
  /** The descriptor limit of the process is lower than `MAX_SESSIONS` can need: near the limit new sessions are refused. */
  | ({ readonly event: 'descriptors-insufficient' } & DescriptorNeed)
  /** The gateway accepts no new sessions; running transfers have time to finish. */
  | { readonly event: 'drain-started'; readonly reason: string; readonly sessions: number }
  /** POST /drain on the operations port: the gateway is not ready, but still serves everything. */
  | { readonly event: 'drain-requested'; readonly sessions: number }
  /** POST /serve cancelled that drain before it ended a session. */
  | { readonly event: 'drain-cancelled'; readonly sessions: number }
  /** A session opened during a drain: the load balancer still sends connections. */
  | { readonly event: 'session-while-draining' }
  /** The gateway was not ready in time (`READY_AFTER_PROBES` needs a probe of every port); the process exits with 1. */
  | { readonly event: 'readiness-timeout'; /** How long the gateway waited. */ readonly seconds: number }
  /** The process has ended every session, and exits. */
  | { readonly event: 'gateway-stopped'; readonly reason: string; readonly durationMs: number }
  /** A version of the users document was loaded. Each problem names a user who cannot log in. */
  | {
      readonly event: 'users-loaded';
      /** Users who can log in. */ readonly users: number;
      /** One text for each user whose entry is invalid. */ readonly problems: readonly string[];
    }
  /** A variable that the gateway does not know, and the one that was probably meant. */
  | {
      readonly event: 'variable-misspelt';
      /** As it is set. */ readonly name: string;
      /** The known variable with the nearest name. */ readonly meant: string;
    }
  /** A port cannot be opened yet, because an outgoing connection of this machine holds it; the start waits for its end. */
  | ({ readonly event: 'port-busy' } & BusyPort)
  /** The certificate in use from now on; a warning within 21 days of its end, an error after it. */
  | {
      readonly event: 'certificate-loaded';
      /** The file or the secret that it comes from. */
      readonly source: string;
      readonly subject: string;
      /** Names that clients may connect by: `DNS:ftp.example.com`. */
      readonly names: string;
      readonly issuer: string;
      readonly notAfter: string;
      /** `RSA 2048`, `EC prime256v1`. */
      readonly keyType: string;
      /** Whole days until `notAfter`; negative after it. */
      readonly daysLeft: number;
    }
  /** At start and once a day, from 21 days before the end of the certificate in use. */
  | {
      readonly event: 'certificate-expiring';
      readonly subject: string;
      readonly names: string;
      readonly notAfter: string;
      readonly daysLeft: number;
    }
  /** A later version could not be loaded: the last valid one stays in use. */
  | {
      readonly event: 'config-reload-failed';
      /** What could not be loaded. */
      readonly config: 'users' | 'certificate';
      readonly reason: string;
    }
  /** An error that no other event describes: a defect until proven otherwise. */
  | {
      readonly event: 'unexpected-error';
      readonly sessionId?: string;
      /** With its message, its stack and the errors behind it. */ readonly error: unknown;
    };

/** A failed request to the storage. */
export type StorageFault = {
  /** The session whose command needed it; absent for requests of the gateway itself. */
  readonly sessionId?: string;
  readonly operation: string;
  readonly bucket?: string;
  /** `https://host:port` of the request; absent where it failed before it was known. */
  readonly endpoint?: string;
  readonly cause: CauseCode;
  /** S3's name of the error (`SlowDown`), or the code of the connection (`ECONNREFUSED`). */
  readonly errorName: string;
  readonly httpStatus?: number;
  readonly requestId?: string;
};

/** Receives an event. It never throws and never blocks. */
export type Observe = (event: GatewayEvent) => void;

/** A name that a client sent, shortened for events, so that no client can make lines of the log long. */
export function shortened(name: string): string {
  return name.length <= maxNameLength ? name : `${name.slice(0, maxNameLength)}…`;
}

const maxNameLength = 128;
