/** The 421 that a client receives when its session ends without its request. */
import { reply, type Reply } from '../commands/reply.ts';
import type { SessionEndReason } from '../commands/session.ts';

const replies: Partial<Record<SessionEndReason, Reply>> = {
  'idle-timeout': reply(421, 'Idle for too long; closing the control connection.'),
  'login-timeout': reply(421, 'The login took too long; closing the control connection.'),
  'too-many-sessions': reply(421, 'Too many sessions from your address; try again later.'),
  'too-many-overlong-lines': reply(421, 'Too many overlong command lines; closing the control connection.'),
  drain: reply(421, 'The gateway is stopping; closing the control connection.'),
  'gateway-closed': reply(421, 'The gateway is stopping; closing the control connection.'),
};

/** Undefined where the client needs none: it quit, its last reply was the reason already, or it is gone. */
export function endReply(end: SessionEndReason | undefined): Reply | undefined {
  return end === undefined ? undefined : replies[end];
}
