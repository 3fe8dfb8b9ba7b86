/**
 * Runs a session's commands strictly one after another, so that replies keep the order of their commands. While a transfer
 * runs, ABOR ends it and STAT without a pathname is answered at once; every other command waits (RFC 959 4.1.3).
 */
import type { Command } from '../commands/command.ts';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { filesystemReply } from '../commands/filesystem-reply.ts';
import { can } from '../../users/user.ts';
import type { ControlSession } from './control-session.ts';
import type { Line } from './line-framing.ts';
import { reply, type Reply } from '../commands/reply.ts';

/** The connection, as far as the dispatcher needs it. */
export type CommandLines = {
  nextLine(): Line | undefined;
  /** False while replies wait to be taken, and when the control connection is gone. */
  readonly takesReplies: boolean;
  /** False when the session is to end before another command is executed. */
  readonly takesCommands: boolean;
  send(reply: Reply): void;
  /** A command has been answered; TLS, or the end, may be due now. */
  answered(): void;
  overlongLine(): void;
  /** No command is running, and no line is left. */
  exhausted(): void;
};

/** Lines kept behind a running transfer. More stay in the connection's buffer, and then in the client's. */
const maxWaitingLines = 64;

/** Answers that do not depend on anything: made once, sent often. */
const notUnderstood = reply(500, 'Command not understood.');
const lineTooLong = reply(500, 'Command line too long.');
const loginFirst = reply(530, 'Please log in with USER and PASS.');
const permissionDenied = reply(550, 'Permission denied.');
const controlCharacters = reply(501, 'Control characters are not allowed.');
const unexpectedError = reply(451, 'Requested action aborted: local error in processing.');

export class CommandLoop {
  readonly #commands: ReadonlyMap<string, Command>;
  readonly #session: ControlSession;
  readonly #lines: CommandLines;
  readonly #waiting: Line[] = [];
  /** The command whose reply is still to come. */
  #running: Command | undefined;
  /** Whether the client has been told 150: what it sends from then on it sends in knowledge of the transfer. */
  #hasAnnounced = false;
  #isPumping = false;
  /** Whether the lines being taken have only now arrived; after a pause for unsent replies nothing tells when they did. */
  #isArriving = false;

  constructor(commands: ReadonlyMap<string, Command>, session: ControlSession, lines: CommandLines) {
    this.#commands = commands;
    this.#session = session;
    this.#lines = lines;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Lines that were read but not executed: of a client that did not wait for its replies. */
  get hasWaitingLines(): boolean {
    return this.#waiting.length > 0;
  }

  /** Whether a line waits whose client must get its reply even where the session is about to end: ABOR or QUIT. */
  get hasWaitingFarewell(): boolean {
    return this.#waiting.some((line) => {
      const verb = line.kind === 'line' ? this.#find(verbOf(line.text))?.verb : undefined;
      return verb === 'ABOR' || verb === 'QUIT';
    });
  }

  sendPreliminary(preliminary: Reply): void {
    this.#hasAnnounced = true;
    this.#lines.send(preliminary);
  }

  /** Bytes of the client have just arrived. */
  linesArrived(): void {
    this.#isArriving = true;
    try {
      this.pump();
    } finally {
      this.#isArriving = false;
    }
  }

  /** Executes what can be executed now. Called whenever there may be lines, or room for replies. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#lines.takesReplies && this.#step());
    } finally {
      this.#isPumping = false;
    }
  }

  #step(): boolean {
    if (this.#running !== undefined) return this.#stepDuringTransfer();
    if (!this.#lines.takesCommands) return false;
    const line = this.#waiting.shift() ?? this.#lines.nextLine();
    if (line === undefined) {
      this.#lines.exhausted();
      return false;
    }
    this.#execute(line);
    return true;
  }

  /** Looks at the next line for one that does not wait; returns whether it makes sense to look at another. */
  #stepDuringTransfer(): boolean {
    const { transfer } = this.#session;
    if (transfer === undefined || this.#waiting.length >= maxWaitingLines) return false;
    const line = this.#lines.nextLine();
    if (line === undefined) return false;
    const command = line.kind === 'line' ? this.#find(verbOf(line.text)) : undefined;
    // Its own reply waits for its turn, right after the transfer's.
    if (command?.duringTransfer === 'aborts-it') transfer.abort('client-abort');
    else if (line.kind === 'line' && this.#isArriving) transfer.commandArrived(command?.verb === 'QUIT');
    // A client that pipelines expects its replies in order; only what it sends after the 150 is meant for this moment.
    const isMeantNow = this.#hasAnnounced && this.#waiting.length === 0;
    if (
      command?.duringTransfer === 'answered-without-argument' &&
      line.kind === 'line' &&
      argumentOf(line.text) === '' &&
      isMeantNow
    ) {
      this.#answerDuringTransfer(command);
      return true;
    }
    this.#waiting.push(line);
    return true;
  }

  #answerDuringTransfer(command: Command): void {
    const outcome = this.#call(command, '');
    if (!(outcome instanceof Promise)) {
      this.#answer(outcome);
      return;
    }
    outcome.then(
      (answer) => this.#answer(answer),
      (error: unknown) => this.#answer(this.#failure(error)),
    );
  }

  #execute(line: Line): void {
    if (line.kind === 'too-long') {
      this.#answer(lineTooLong);
      this.#lines.overlongLine();
      return;
    }
    const command = this.#find(verbOf(line.text));
    if (command === undefined) {
      this.#answer(notUnderstood);
      return;
    }
    const outcome = this.#call(command, argumentOf(line.text));
    if (!(outcome instanceof Promise)) {
      this.#finish(command, outcome);
      return;
    }
    this.#running = command;
    outcome.then(
      (answer) => this.#finish(command, answer),
      (error: unknown) => this.#finish(command, this.#failure(error)),
    );
  }

  #finish(command: Command, answer: Reply): void {
    this.#running = undefined;
    this.#hasAnnounced = false;
    if (command.keepsPending !== true) this.#session.forgetPending();
    this.#answer(answer);
    this.pump();
  }

  #answer(answer: Reply): void {
    this.#lines.send(answer);
    this.#lines.answered();
  }

  #call(command: Command, argument: string): Reply | Promise<Reply> {
    // A password may hold anything that fits into a line.
    if (/[\x00-\x1f\x7f]/.test(argument) && command.verb !== 'PASS') return controlCharacters;
    const session = this.#session;
    try {
      if (command.access === 'anyone') return command.handle(session, argument);
      if (session.loginState.step !== 'logged-in') return loginFirst;
      const { login } = session.loginState;
      if (command.permission !== undefined && !can(login.user, command.permission)) return permissionDenied;
      return command.handle(session, login, argument);
    } catch (error) {
      return this.#failure(error);
    }
  }

  #failure(error: unknown): Reply {
    if (error instanceof FilesystemError) return filesystemReply(error.kind);
    // What stops because the session stops is no defect, and nobody is left to be told.
    if (!this.#session.signal.aborted) {
      this.#session.observe({ event: 'unexpected-error', sessionId: this.#session.id, error });
    }
    return unexpectedError;
  }

  #find(verb: string): Command | undefined {
    return this.#commands.get(verb) ?? this.#findBehindDebris(verb);
  }

  // What a client's Telnet Synch leaves in front of the command it was meant to announce, when part of it was lost.
  #findBehindDebris(verb: string): Command | undefined {
    const end = verb.slice(-4);
    const isUrgent = end === 'ABOR' || end === 'STAT' || end === 'QUIT';
    return isUrgent && /^[^A-Z0-9 ]*$/.test(verb.slice(0, -4)) ? this.#commands.get(end) : undefined;
  }
}

function verbOf(text: string): string {
  const end = text.indexOf(' ');
  return (end < 0 ? text : text.slice(0, end)).toUpperCase();
}

function argumentOf(text: string): string {
  const end = text.indexOf(' ');
  return end < 0 ? '' : text.slice(end + 1);
}
