/** The event of a command that changes something, or that is refused. */
import type { GatewayEvent } from '../../observability/event.ts';
import { sideOf } from '../../observability/cause.ts';
import type { Command } from '../commands/command.ts';
import type { Reply } from '../commands/reply.ts';
import type { Session } from '../commands/session.ts';

/**
 * Observes a command with its reply, unless it changed nothing and was not refused, or has an event of its own (transfers,
 * logins).
 * @param command undefined for a line that names none.
 */
export function observeCommand(
  session: Session,
  command: Command | undefined,
  argument: string,
  final: Reply,
): void {
  const { audited } = session;
  session.audited = undefined;
  const isRefusal = final.code >= 400;
  // A PASS out of order, which has no cause, is no login.
  const isLogin = command?.verb === 'PASS' && final.cause !== undefined;
  if (audited === 'transfer' || (audited === undefined && !isRefusal) || isLogin) return;
  const { loginState } = session;
  const cause = isRefusal ? (final.cause ?? 'COMMAND-INVALID') : undefined;
  session.observe({
    event: 'command',
    sessionId: session.id,
    clientAddress: session.clientAddress,
    ...(loginState.step === 'logged-in' && { username: loginState.login.user.name }),
    verb: command?.verb ?? 'unknown',
    ...(audited === undefined ? argumentFields(command, argument) : changeFields(session, audited)),
    replyCode: final.code,
    outcome: cause === undefined ? 'completed' : isFailure(cause) ? 'failed' : 'refused',
    ...(cause !== undefined && { cause }),
  });
}

type CommandEvent = Extract<GatewayEvent, { event: 'command' }>;

function argumentFields(command: Command | undefined, argument: string): Partial<CommandEvent> {
  // An argument that is taken verbatim is a name or a secret.
  return command === undefined || command.argument === 'verbatim' || argument === '' ? {} : { argument };
}

function changeFields(
  { loginState }: Session,
  { pathname, to }: Exclude<Session['audited'], 'transfer' | undefined>,
): Partial<CommandEvent> {
  if (loginState.step !== 'logged-in') return { pathname };
  const { filesystem } = loginState.login;
  if (to === undefined) return { pathname, ...filesystem.locate?.(pathname) };
  const toKey = filesystem.locate?.(to).key;
  return { pathname, to, ...filesystem.locate?.(pathname), ...(toKey !== undefined && { toKey }) };
}

function isFailure(cause: NonNullable<CommandEvent['cause']>): boolean {
  return cause === 'INTERNAL' || sideOf(cause) === 'storage';
}
