/**
 * The causes of failures, refusals and ends: a closed list. The same code stands in the reply to the client, in the log and in the
 * metrics, and has a section in docs/troubleshooting.md (test/observability/cause.test.ts compares the two).
 *
 * How a failure carries its cause: an error extends `CausedError`, a `FilesystemError` has a `causeCode`, a `Reply` a `cause`, an
 * event a `cause`. The log adds the side.
 */

/** Where the remedy is: at the client, on the network between, in the gateway's configuration, or in the storage. */
export type Side = 'client' | 'network' | 'gateway' | 'storage';

export type Cause = {
  readonly side: Side;
  /** What the gateway saw, as one sentence. */
  readonly meaning: string;
  /** The code that clients get instead, where the exact one would disclose something to them. */
  readonly shownAs?: string;
};

/** By code. A code begins with what it is about; within a group the order is that of docs/troubleshooting.md. */
export const causes = {
  // Ends of sessions that are no failures, and those by timeouts and limits of the session itself.
  QUIT: { side: 'client', meaning: 'The client sent QUIT.' },
  'CLIENT-CLOSED': {
    side: 'client',
    meaning: 'The client closed the control connection without QUIT.',
  },
  'CONTROL-LOST': {
    side: 'network',
    meaning: 'The control connection broke: it was reset, or the client did not answer any more.',
  },
  'IDLE-TIMEOUT': { side: 'client', meaning: 'The session sent no command for IDLE_TIMEOUT_SECONDS.' },
  'LOGIN-TIMEOUT': {
    side: 'client',
    meaning: 'The client did not log in within LOGIN_TIMEOUT_SECONDS.',
  },
  'SESSION-LIFETIME': {
    side: 'gateway',
    meaning: 'The session reached the longest lifetime that the gateway allows.',
  },
  'REPLIES-UNREAD': { side: 'client', meaning: 'The client sent commands but did not read the replies.' },
  'USER-REVOKED': {
    side: 'gateway',
    meaning: 'The user of the session was removed or changed in the list of users.',
  },
  DRAIN: { side: 'gateway', meaning: 'The gateway was draining or stopping.' },
  'WORKER-LOST': { side: 'gateway', meaning: 'The worker process that served the session ended.' },
  INTERNAL: { side: 'gateway', meaning: 'The gateway met an error that it does not know.' },

  // Connections that do not become sessions.
  'PROXY-HEADER': {
    side: 'network',
    meaning: 'The connection began with no valid PROXY protocol header.',
  },
  'PROXY-SOURCE': {
    side: 'network',
    meaning: 'A PROXY protocol header came from an address that is no trusted load balancer.',
  },
  BANNED: { side: 'client', meaning: 'The address is refused for a time because of its failed logins.' },

  // Limits.
  'LIMIT-SESSIONS': { side: 'gateway', meaning: 'The gateway has as many sessions as MAX_SESSIONS allows.' },
  'LIMIT-ADDRESS': {
    side: 'client',
    meaning: 'The client address has as many sessions as MAX_SESSIONS_PER_ADDRESS allows.',
  },
  'LIMIT-USER': {
    side: 'client',
    meaning: 'The user has as many sessions as MAX_SESSIONS_PER_USER allows.',
  },
  'LIMIT-BEFORE-LOGIN': {
    side: 'client',
    meaning: 'Too many connections without a login were open, in all or from this address.',
  },
  'LIMIT-LOGINS': { side: 'gateway', meaning: 'Too many logins were waiting for their password check.' },
  'LIMIT-DESCRIPTORS': {
    side: 'gateway',
    meaning: 'The process had too few file descriptors left for another connection.',
  },
  'LIMIT-LISTINGS': {
    side: 'gateway',
    meaning: 'Too many listings were running, or this one needed more work than the gateway allows.',
  },
  'LIMIT-COMMANDS': {
    side: 'client',
    meaning: 'The session sent more commands, longer lines or more invalid commands than the gateway allows.',
  },

  // Logins.
  'LOGIN-REFUSED': {
    side: 'client',
    meaning: 'The login was refused; only the log says for which of the following reasons.',
  },
  'LOGIN-PASSWORD': { side: 'client', meaning: 'The password was wrong.', shownAs: 'LOGIN-REFUSED' },
  'LOGIN-USER': { side: 'client', meaning: 'No user has this name.', shownAs: 'LOGIN-REFUSED' },
  'LOGIN-ENTRY': {
    side: 'gateway',
    meaning: "The user's entry in the list of users is invalid.",
    shownAs: 'LOGIN-REFUSED',
  },
  'LOGIN-THROTTLED': {
    side: 'client',
    meaning:
      'The login was not checked because wrong passwords have banned its address, or its user at that address.',
  },
  'LOGIN-ATTEMPTS': {
    side: 'client',
    meaning: 'The connection had as many failed logins as MAX_LOGIN_ATTEMPTS allows.',
  },
  'LOGIN-UNCHECKED': { side: 'gateway', meaning: 'The source of users could not check the login.' },

  // TLS.
  'TLS-REQUIRED': {
    side: 'client',
    meaning: 'The client tried to log in without TLS, which the gateway requires.',
  },
  'TLS-PROT': {
    side: 'client',
    meaning: 'The client asked for a data connection without PROT P, which the gateway requires.',
  },
  'TLS-NOT-STARTED': {
    side: 'client',
    meaning: 'The client sent clear text, or nothing, where the gateway expected a TLS handshake.',
  },
  'TLS-VERSION': {
    side: 'client',
    meaning: 'Client and gateway have no TLS version in common.',
  },
  'TLS-CIPHER': { side: 'client', meaning: 'Client and gateway have no cipher or key exchange in common.' },
  'TLS-CERTIFICATE': { side: 'client', meaning: "The client rejected the gateway's certificate." },
  'TLS-EXPIRED': { side: 'gateway', meaning: "The client rejected the gateway's certificate as expired." },
  'TLS-ALERT': { side: 'client', meaning: 'The client ended the TLS handshake with another alert.' },
  'TLS-CUT': { side: 'network', meaning: 'The connection ended during the TLS handshake.' },
  'TLS-UNUSED': {
    side: 'client',
    meaning: 'The client closed the connection after the TLS handshake, before it named a user.',
  },
  'TLS-TIMEOUT': { side: 'network', meaning: 'The TLS handshake took too long.' },
  'TLS-PROTOCOL': { side: 'client', meaning: 'The client sent TLS records that break the protocol.' },
  'TLS-NOT-RESUMED': {
    side: 'client',
    meaning:
      "The data connection did not resume the control connection's TLS session, which the gateway requires.",
  },
  'TLS-INJECTION': {
    side: 'network',
    meaning: 'Clear text followed AUTH TLS, as when commands are injected ahead of the handshake.',
  },

  // Data connections.
  'DATA-NO-MODE': {
    side: 'client',
    meaning:
      'A transfer command came without PASV, EPSV, PORT or EPRT before it, or after their connection was used up.',
  },
  'PASV-NONE': {
    side: 'network',
    meaning: 'No connection from the client reached the passive port in time.',
  },
  'PASV-ADDRESS': {
    side: 'network',
    meaning:
      'A connection reached the passive port from another address than that of the control connection.',
  },
  'PASV-PRIVATE': {
    side: 'network',
    meaning:
      'A connection reached the passive port from a private address while its session came from a public one.',
  },
  'PASV-LATE': {
    side: 'client',
    meaning: 'The connection reached the passive port after the gateway had stopped waiting for it.',
  },
  'PASV-STRAY': {
    side: 'network',
    meaning: 'A connection reached a passive port that no session was waiting on.',
  },
  'PASV-RESET': {
    side: 'network',
    meaning: 'The connection to the passive port was reset before the gateway could accept it.',
  },
  'PASV-EXHAUSTED': {
    side: 'gateway',
    meaning: 'Every passive port was waiting for other data connections of the same address.',
  },
  'ACTIVE-OFF': {
    side: 'gateway',
    meaning: 'The client sent PORT or EPRT, and active mode is switched off.',
  },
  'ACTIVE-ADDRESS': {
    side: 'client',
    meaning: 'PORT or EPRT named another public address than that of the control connection.',
  },
  'ACTIVE-PRIVATE': {
    side: 'network',
    meaning: 'PORT or EPRT named a private address that is not that of the control connection.',
  },
  'ACTIVE-PORT': { side: 'client', meaning: 'PORT or EPRT named a port below 1024.' },
  'ACTIVE-REFUSED': {
    side: 'network',
    meaning: "The connection to the client's data port was refused or could not be routed.",
  },
  'ACTIVE-TIMEOUT': {
    side: 'network',
    meaning: "The client's data port did not answer in time.",
  },

  // Transfers.
  ABOR: { side: 'client', meaning: 'The client aborted the transfer with ABOR.' },
  'DATA-LOST': { side: 'network', meaning: 'The data connection broke before the end of the transfer.' },
  'DATA-STALLED': { side: 'network', meaning: 'The client moved no byte for STALL_TIMEOUT_SECONDS.' },
  'DATA-SLOW': {
    side: 'client',
    meaning: 'The client sent too little while other uploads waited for memory.',
  },
  'DATA-DEFLATE': { side: 'client', meaning: 'The data in MODE Z are not one whole deflate stream.' },
  'ALLO-SHORT': {
    side: 'client',
    meaning: 'The number of bytes that came differs from the number that ALLO announced.',
  },
  'ASCII-BINARY': {
    side: 'client',
    meaning: 'The client transferred binary content in ASCII mode, which changes it.',
  },

  // Files.
  'FILE-NOT-FOUND': { side: 'client', meaning: 'The name is that of no file or directory.' },
  'FILE-EXISTS': { side: 'client', meaning: 'The name is taken, and nothing may be replaced.' },
  'FILE-TYPE': {
    side: 'client',
    meaning: 'The name is that of a directory where a file is needed, or the reverse.',
  },
  'FILE-NOT-EMPTY': { side: 'client', meaning: 'The directory to be removed has entries.' },
  'FILE-NAME': { side: 'client', meaning: 'The storage cannot hold the name.' },
  'FILE-PERMISSION': { side: 'gateway', meaning: "The user's permissions do not allow the command." },
  'FILE-OFFSET': { side: 'client', meaning: 'The restart offset lies beyond the end of the file.' },
  'FILE-CHANGED': { side: 'client', meaning: 'The file was changed by another writer during the command.' },
  'COMMAND-INVALID': {
    side: 'client',
    meaning: 'The command is unknown, not implemented, out of order, or has an invalid argument.',
  },

  // Storage.
  'STORAGE-CREDENTIALS': {
    side: 'storage',
    meaning: 'The gateway had no credentials for the storage, or the storage did not know them.',
  },
  'STORAGE-SIGNATURE': {
    side: 'storage',
    meaning: 'The storage rejected the signature of the request: the secret key or the clock is wrong.',
  },
  'STORAGE-DENIED': { side: 'storage', meaning: "The storage denied the request to the gateway's role." },
  'STORAGE-KMS': {
    side: 'storage',
    meaning: "The key that encrypts the bucket was denied to the gateway's role, or is disabled.",
  },
  'STORAGE-BUCKET': { side: 'storage', meaning: 'The bucket does not exist.' },
  'STORAGE-REGION': {
    side: 'storage',
    meaning: 'The bucket is in another region than the one that the gateway signs its requests for.',
  },
  'STORAGE-FULL': {
    side: 'storage',
    meaning: 'A quota of the storage, or its largest object size, was reached.',
  },
  'STORAGE-THROTTLED': { side: 'storage', meaning: 'The storage asked for fewer requests.' },
  'STORAGE-UNREACHABLE': {
    side: 'storage',
    meaning:
      'No connection to the storage: refused, reset, no route, no such host, or an invalid certificate.',
  },
  'STORAGE-NO-RESPONSE': {
    side: 'storage',
    meaning: 'The storage accepted the request and did not respond in time.',
  },
  'STORAGE-INVALID-RESPONSE': {
    side: 'storage',
    meaning: 'The response of the storage was incomplete or not what S3 prescribes.',
  },
  'STORAGE-ERROR': { side: 'storage', meaning: 'The storage responded with an error of its own.' },
  'STORAGE-UNCONFIRMED': {
    side: 'storage',
    meaning: 'The storage did not confirm the file, which may be stored or not.',
  },
} as const satisfies Readonly<Record<string, Cause>>;

/** The stable code of a cause. */
export type CauseCode = keyof typeof causes;

/** Why a session ended: its `session-closed` event has exactly one of these. */
export type SessionEndCause = Extract<
  CauseCode,
  | 'QUIT'
  | 'CLIENT-CLOSED'
  | 'CONTROL-LOST'
  | 'IDLE-TIMEOUT'
  | 'LOGIN-TIMEOUT'
  | 'SESSION-LIFETIME'
  | 'REPLIES-UNREAD'
  | 'USER-REVOKED'
  | 'DRAIN'
  | 'PROXY-HEADER'
  | 'PROXY-SOURCE'
  | 'BANNED'
  | `LIMIT-${string}`
  | 'LOGIN-ATTEMPTS'
  | 'LOGIN-UNCHECKED'
  | 'TLS-REQUIRED'
  | 'TLS-NOT-STARTED'
  | 'TLS-VERSION'
  | 'TLS-CIPHER'
  | 'TLS-CERTIFICATE'
  | 'TLS-EXPIRED'
  | 'TLS-ALERT'
  | 'TLS-CUT'
  | 'TLS-UNUSED'
  | 'TLS-TIMEOUT'
  | 'TLS-PROTOCOL'
  | 'TLS-INJECTION'
>;

/** The reasons for which a login is refused although it could be checked; clients get only `LOGIN-REFUSED`. */
export type LoginRefusalCause = 'LOGIN-PASSWORD' | 'LOGIN-USER' | 'LOGIN-ENTRY';

/** Where the remedy for a cause is. */
export function sideOf(code: CauseCode): Side {
  return causes[code].side;
}

/** The code as clients get it. */
export function shownCode(code: CauseCode): CauseCode {
  const cause: Cause = causes[code];
  return (cause.shownAs ?? code) as CauseCode;
}

/** An error with a known cause. Its message is a sentence for the client, and contains nothing private. */
export class CausedError extends Error {
  override readonly name: string = 'CausedError';
  readonly causeCode: CauseCode;

  constructor(causeCode: CauseCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.causeCode = causeCode;
  }
}

/** The cause that an error, or the error behind it, carries; `INTERNAL` for an error without one. */
export function causeOf(error: unknown): CauseCode {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    const code: unknown = Reflect.get(at, 'causeCode');
    if (typeof code === 'string' && Object.hasOwn(causes, code)) return code as CauseCode;
  }
  return 'INTERNAL';
}
