/** The end of a session: the 421 that a client receives, and the reason with which the session's work is aborted. */
import { reply, type Reply } from '../commands/reply.ts';
import { CausedError, type SessionEndCause } from '../../observability/cause.ts';

const replies: Partial<Record<SessionEndCause, Reply>> = {
  'IDLE-TIMEOUT': reply(421, 'Idle for too long; closing the control connection.', 'IDLE-TIMEOUT'),
  'LOGIN-TIMEOUT': reply(421, 'The login took too long; closing the control connection.', 'LOGIN-TIMEOUT'),
  'LIMIT-ADDRESS': reply(421, 'Too many sessions from your address; try again later.', 'LIMIT-ADDRESS'),
  'LIMIT-BEFORE-LOGIN': reply(
    421,
    'Too many connections without a login; try again later.',
    'LIMIT-BEFORE-LOGIN',
  ),
  'LIMIT-COMMANDS': reply(
    421,
    'Too many overlong command lines; closing the control connection.',
    'LIMIT-COMMANDS',
  ),
  'SESSION-LIFETIME': reply(421, 'The session has lasted too long; connect again.', 'SESSION-LIFETIME'),
  'USER-REVOKED': reply(421, 'Your account has changed; log in again.', 'USER-REVOKED'),
  DRAIN: reply(421, 'The gateway is stopping; closing the control connection.', 'DRAIN'),
};

/** Without a revocation the command or the listener has replied already. */
const revocations: Partial<Record<SessionEndCause, Reply>> = {
  'LIMIT-SESSIONS': reply(421, 'Too many sessions; try again later.', 'LIMIT-SESSIONS'),
  'LIMIT-USER': reply(421, 'Too many sessions of this user; try again later.', 'LIMIT-USER'),
};

/** Undefined where the client needs none: it quit, its last reply was the reason already, or it is gone. */
export function endReply(end: SessionEndCause | undefined, isRevoked: boolean): Reply | undefined {
  if (end === undefined) return undefined;
  return replies[end] ?? (isRevoked ? revocations[end] : undefined);
}

// One for each cause, because capturing a stack trace costs more than closing a session.
const reasons = new Map<SessionEndCause, CausedError>();

/** The reason, for `AbortController.abort`, with which the work of an ended session is aborted. All sessions with the same cause share it. */
export function abortReason(end: SessionEndCause): CausedError {
  let reason = reasons.get(end);
  if (reason === undefined) {
    reason = new CausedError(end, 'The session has ended.');
    reasons.set(end, reason);
  }
  return reason;
}
