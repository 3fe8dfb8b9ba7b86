/** When a session last did something: any command but NOOP, which clients send only to stay connected. */
import type { Command } from '../commands/command.ts';
import type { Login, Session } from '../commands/session.ts';

const lastActive = new WeakMap<Session, number>();

/** The commands, each of which notes when it began and when it was answered. */
export function noteActivity(commands: ReadonlyMap<string, Command>): ReadonlyMap<string, Command> {
  return new Map([...commands].map(([verb, command]) => [verb, noting(command)]));
}

/** Milliseconds of `performance.now()`; undefined where the session has executed no command yet. */
export function lastActiveMs(session: Session): number | undefined {
  return lastActive.get(session);
}

function noting(command: Command): Command {
  if (command.verb === 'NOOP') return command;
  if (command.access === 'anyone') {
    return {
      ...command,
      handle: (session: Session, argument: string) => noted(session, command.handle(session, argument)),
    };
  }
  return {
    ...command,
    handle: (session: Session, login: Login, argument: string) =>
      noted(session, command.handle(session, login, argument)),
  };
}

function noted<Outcome>(session: Session, outcome: Outcome): Outcome {
  const note = (): void => void lastActive.set(session, performance.now());
  note();
  if (outcome instanceof Promise) outcome.then(note, note);
  return outcome;
}
