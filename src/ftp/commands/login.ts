/** Who the client is: USER, PASS, ACCT, HOST and REIN. */
import { setTimeout as delay } from 'node:timers/promises';
import { LoginThrottle, type LoginThrottleOptions } from '../../users/login-throttle.ts';
import { reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import type { TextEncoding } from './text-encoding.ts';
import { defaultDeflateLevel } from '../data/mode-z.ts';
import type { Filesystem } from '../../filesystem/filesystem.ts';
import { rootPathname } from '../../filesystem/pathname.ts';
import { causeOf, type CauseCode, type LoginRefusalCause } from '../../observability/cause.ts';
import type { Authenticate, User } from '../../users/user.ts';
import type { Command } from './command.ts';

export type LoginOptions = LoginThrottleOptions & {
  readonly tls: 'off' | 'optional' | 'required';
  /** Failed logins after which a connection is closed. */
  readonly maxLoginAttempts: number;
  /** The encoding of names at the beginning of a session, and after REIN. */
  readonly filenameEncoding: TextEncoding;
  readonly authenticate: Authenticate;
  filesystemFor(user: User, sessionId: string): Filesystem;
};

const tlsFirst = reply(530, 'TLS is required here: send AUTH TLS before USER.', 'TLS-REQUIRED');
const passwordRequired = reply(331, 'Password required.');
const userFirst = reply(503, 'Send USER first.');
const wrongLogin = reply(530, 'Login incorrect.', 'LOGIN-REFUSED');
const loggedIn = reply(230, 'Logged in.');
const loginNotChecked = reply(451, 'The login cannot be checked now; try again later.', 'LOGIN-UNCHECKED');
/** Rounded up to ten seconds, so that the exact lockout is not disclosed. */
const lockedOut = (ms: number): Reply =>
  reply(530, `Too many failed logins; try again in ${Math.ceil(ms / 10_000) * 10} s.`, 'LOGIN-THROTTLED');
const tooManySessions = reply(421, 'Too many sessions of this user; try again later.', 'LIMIT-USER');

/** The rows of USER, PASS, ACCT, HOST and REIN. They share one login throttle. */
export function loginCommands(options: LoginOptions): Command[] {
  const throttle = new LoginThrottle(options);
  return [
    {
      verb: 'USER',
      syntax: 'USER <SP> <username>',
      argument: 'verbatim',
      source: 'RFC 959 4.1.1',
      access: 'anyone',
      handle: (session, username) => {
        if (username === '') return reply(501, 'USER needs a name.');
        if (options.tls === 'required' && session.tls === undefined) return tlsFirst;
        // RFC 959 4.1.1: a new USER flushes the login there was.
        if (session.loginState.step === 'logged-in') session.logOut();
        session.loginState = { step: 'awaiting-password', username };
        return passwordRequired;
      },
    },
    {
      verb: 'PASS',
      syntax: 'PASS <SP> <password>',
      argument: 'verbatim',
      source: 'RFC 959 4.1.1',
      access: 'anyone',
      handle: (session, password) => {
        switch (session.loginState.step) {
          case 'greeting':
            return userFirst;
          case 'logged-in':
            return reply(202, 'Already logged in.');
          case 'awaiting-password':
            return logIn(session, session.loginState.username, password, options, throttle);
        }
      },
    },
    {
      verb: 'ACCT',
      syntax: 'ACCT <SP> <account>',
      argument: 'verbatim',
      source: 'RFC 959 4.1.1',
      access: 'logged-in',
      handle: () => reply(202, 'Accounts are not used here.'),
    },
    {
      verb: 'HOST',
      syntax: 'HOST <SP> <hostname>',
      argument: 'words',
      source: 'RFC 7151 3',
      feature: 'HOST',
      access: 'anyone',
      handle: (session, hostname) => {
        if (session.loginState.step !== 'greeting') return reply(503, 'HOST comes before USER.');
        if (!/^(?:[\w.-]+|\[[0-9a-f:.]+\])$/i.test(hostname)) return reply(501, 'HOST needs a host name.');
        return reply(220, 'Every host name is served here.');
      },
    },
    {
      verb: 'REIN',
      syntax: 'REIN',
      argument: 'words',
      source: 'RFC 959 4.1.1',
      access: 'anyone',
      handle: (session) => {
        session.logOut();
        session.representationType = 'A';
        session.transmissionMode = 'S';
        session.deflateLevel = defaultDeflateLevel;
        session.filenameEncoding = options.filenameEncoding;
        session.closeDataConnectionSource();
        return reply(220, 'Service ready for new user.');
      },
    },
  ];
}

async function logIn(
  session: Session,
  username: string,
  password: string,
  options: LoginOptions,
  throttle: LoginThrottle,
): Promise<Reply> {
  const { clientAddress, signal } = session;
  session.loginState = { step: 'greeting' };
  const refusedForMs = throttle.lockoutLeftMs(clientAddress, username);
  if (refusedForMs > 0) {
    observe(session, username, 'throttled', 'LOGIN-THROTTLED');
    countFailure(session, options);
    return lockedOut(refusedForMs);
  }
  let login: Login | LoginRefusalCause;
  try {
    login = await authenticate(session, username, password, options);
  } catch (error) {
    observe(session, username, 'failed', 'LOGIN-UNCHECKED');
    if (!signal.aborted) session.observe({ event: 'unexpected-error', sessionId: session.id, error });
    return loginNotChecked;
  }
  if (typeof login !== 'string' && signal.aborted) {
    // The client left before it knew the result. Counting that would lock out clients that give up quickly.
    observe(session, username, 'refused', causeOf(signal.reason));
    return wrongLogin;
  }
  if (typeof login === 'string') {
    observe(session, username, 'refused', login);
    countFailure(session, options);
    // Counted before the delay, so that a client that leaves during it is counted as well.
    await delay(throttle.recordFailure(clientAddress, username), undefined, { signal }).catch(
      () => undefined,
    );
    return wrongLogin;
  }
  if (session.logIn(login) === 'too-many-sessions') {
    observe(session, username, 'refused', 'LIMIT-USER');
    session.endAfterReply('LIMIT-USER');
    return tooManySessions;
  }
  observe(session, username, 'accepted');
  throttle.recordSuccess(clientAddress, username);
  return loggedIn;
}

function countFailure(session: Session, { maxLoginAttempts }: LoginOptions): void {
  session.failedLogins += 1;
  if (session.failedLogins >= maxLoginAttempts) session.endAfterReply('LOGIN-ATTEMPTS');
}

async function authenticate(
  session: Session,
  username: string,
  password: string,
  options: LoginOptions,
): Promise<Login | LoginRefusalCause> {
  const { id, clientAddress, signal } = session;
  const secure = session.tls !== undefined;
  const user = await options.authenticate({ username, password, clientAddress, secure }, signal);
  if (typeof user === 'string') return user;
  return { user, filesystem: options.filesystemFor(user, id), workingDirectory: rootPathname };
}

function observe(
  session: Session,
  username: string,
  outcome: 'accepted' | 'refused' | 'throttled' | 'failed',
  cause?: CauseCode,
): void {
  const { id: sessionId, clientAddress } = session;
  session.observe({
    event: 'login',
    sessionId,
    clientAddress,
    username,
    outcome,
    ...(cause !== undefined && { cause }),
    tls: session.tls !== undefined,
  });
}
