/** Who the client is: USER, PASS, ACCT, HOST and REIN. */
import { setTimeout as delay } from 'node:timers/promises';
import { sourceOf } from '../../net/ip-address.ts';
import type { Networks } from '../../net/networks.ts';
import type { LoginChecks, LoginOutcome } from '../../users/login-checks.ts';
import { reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import type { TextEncoding } from './text-encoding.ts';
import { defaultDeflateLevel } from '../data/mode-z.ts';
import type { Filesystem } from '../../filesystem/filesystem.ts';
import { rootPathname } from '../../filesystem/pathname.ts';
import { causeOf, type CauseCode } from '../../observability/cause.ts';
import { shortened } from '../../observability/event.ts';
import type { User } from '../../users/user.ts';
import type { Command } from './command.ts';

export type LoginOptions = {
  readonly tls: 'off' | 'optional' | 'required';
  /** Failed logins after which a connection is closed. */
  readonly maxLoginAttempts: number;
  /** The encoding of names at the beginning of a session, and after REIN. */
  readonly filenameEncoding: TextEncoding;
  readonly logins: LoginChecks;
  /** Networks that are never banned. */
  readonly loginBanExempt: Networks;
  filesystemFor(user: User, sessionId: string): Filesystem;
};

const tlsFirst = reply(530, 'TLS is required here: send AUTH TLS before USER.', 'TLS-REQUIRED');
const passwordRequired = reply(331, 'Password required.');
const userFirst = reply(503, 'Send USER first.');
const wrongLogin = reply(530, 'Login incorrect.', 'LOGIN-REFUSED');
const loggedIn = reply(230, 'Logged in.');
const loginNotChecked = reply(451, 'The login cannot be checked now; try again later.', 'LOGIN-UNCHECKED');
const tooManyLogins = reply(421, 'Too many logins are being checked; try again later.', 'LIMIT-LOGINS');
const nameTooLong = reply(501, 'The user name is too long.');
/** As in the users document. */
const maxNameLength = 256;
/** As long as a wrong password late in a series, so that a banned client has no reason to try faster. */
const bannedDelayMs = 5_000;
const busyDelayMs = 2_000;
/** Rounded up to ten seconds, so that the exact end is not disclosed. */
const banned = (ms: number): Reply =>
  reply(530, `Too many failed logins; try again in ${Math.ceil(ms / 10_000) * 10} s.`, 'LOGIN-THROTTLED');
const tooManySessions = reply(421, 'Too many sessions of this user; try again later.', 'LIMIT-USER');

/** The rows of USER, PASS, ACCT, HOST and REIN. */
export function loginCommands(options: LoginOptions): Command[] {
  return [
    {
      verb: 'USER',
      syntax: 'USER <SP> <username>',
      argument: 'verbatim',
      source: 'RFC 959 4.1.1',
      access: 'anyone',
      handle: (session, username) => {
        if (username === '') return reply(501, 'USER needs a name.');
        if (username.length > maxNameLength) return nameTooLong;
        if (options.tls === 'required' && session.tls === undefined) return tlsFirst;
        // RFC 959 4.1.1: a new USER ends the current login.
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
            return logIn(session, session.loginState.username, password, options);
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
): Promise<Reply> {
  const { signal } = session;
  session.loginState = { step: 'greeting' };
  let outcome: LoginOutcome;
  try {
    outcome = await check(session, username, password, options);
    if (outcome.kind === 'accepted')
      return accept(session, username, loginOf(outcome.user, session, options));
  } catch (error) {
    if (signal.aborted) return abandoned(session, username);
    observe(session, username, 'failed', 'LOGIN-UNCHECKED');
    session.observe({ event: 'unexpected-error', sessionId: session.id, error });
    return loginNotChecked;
  }
  switch (outcome.kind) {
    case 'refused':
      observe(session, username, 'refused', outcome.cause);
      countFailure(session, options);
      await delayReply(outcome.delayMs, signal);
      return wrongLogin;
    case 'banned':
      observe(session, username, 'throttled', 'LOGIN-THROTTLED');
      countFailure(session, options);
      await delayReply(bannedDelayMs, signal);
      return banned(outcome.leftMs);
    case 'busy':
      observe(session, username, 'throttled', 'LIMIT-LOGINS');
      session.endAfterReply('LIMIT-LOGINS');
      // Otherwise the client connects again at once.
      await delayReply(busyDelayMs, signal);
      return tooManyLogins;
  }
}

function accept(session: Session, username: string, login: Login): Reply {
  if (session.signal.aborted) return abandoned(session, username);
  if (session.logIn(login) === 'too-many-sessions') {
    observe(session, username, 'refused', 'LIMIT-USER');
    session.endAfterReply('LIMIT-USER');
    return tooManySessions;
  }
  observe(session, username, 'accepted');
  return loggedIn;
}

/** The client left before it knew the result, or its time was over. Nothing is counted here: `LoginChecks` counts what it has checked. */
function abandoned(session: Session, username: string): Reply {
  observe(session, username, 'refused', causeOf(session.signal.reason));
  return wrongLogin;
}

async function delayReply(delayMs: number, signal: AbortSignal): Promise<void> {
  await delay(delayMs, undefined, { signal }).catch(() => undefined);
}

function check(
  session: Session,
  username: string,
  password: string,
  { logins, loginBanExempt }: LoginOptions,
): Promise<LoginOutcome> {
  const { clientAddress, signal } = session;
  const secure = session.tls !== undefined;
  const from = { source: sourceOf(clientAddress), isExempt: loginBanExempt.contains(clientAddress) };
  return logins.check(from, { username, password, clientAddress, secure }, signal);
}

function loginOf(user: User, { id }: Session, options: LoginOptions): Login {
  return { user, filesystem: options.filesystemFor(user, id), workingDirectory: rootPathname };
}

function countFailure(session: Session, { maxLoginAttempts }: LoginOptions): void {
  session.failedLogins += 1;
  if (session.failedLogins >= maxLoginAttempts) session.endAfterReply('LOGIN-ATTEMPTS');
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
    username: shortened(username),
    outcome,
    ...(cause !== undefined && { cause }),
    tls: session.tls !== undefined,
  });
}
