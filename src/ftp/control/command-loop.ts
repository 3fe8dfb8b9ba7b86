/**
 * Executes the commands of a session one after another, so that replies keep the order of their commands. While a transfer
 * runs, ABOR aborts it and STAT without a pathname is answered immediately; every other command waits (RFC 959 4.1.3). ABOR also
 * ends other commands that can take long.
 */
import { CommandAborted, permissionDenied, type Command } from '../commands/command.ts';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { can } from '../../users/user.ts';
import { filesystemReply } from '../commands/filesystem-reply.ts';
import { loginFirst, reply, type Reply } from '../commands/reply.ts';
import { observeCommand } from './command-event.ts';
import type { ControlConnection } from './control-connection.ts';
import type { ControlSession, ReceivedLine } from './control-session.ts';
import { sliceMs, takeTurn } from './turns.ts';

/** Lines, and their characters, that wait behind a running command. Further ones stay in the connection's buffer, and then in the client's. */
const maxWaitingLines = 64;
const maxWaitingCharacters = 16 * 1024;

const notUnderstood = reply(500, 'Command not understood.');
const lineTooLong = reply(500, 'Command line too long.');
const controlCharacters = reply(501, 'Control characters are not allowed.');
const commandAborted = reply(426, 'Command aborted.', 'ABOR');
const unexpectedError = reply(451, 'Requested action aborted: local error in processing.', 'INTERNAL');

/** The command loop of one session. */
export class CommandLoop {
  readonly #commands: ReadonlyMap<string, Command>;
  readonly #session: ControlSession;
  readonly #connection: ControlConnection;
  #isPumping = false;
  #turnEndsAtMs = 0;
  /** Whether the loop continues in the next turn of the event loop. */
  #isYielding = false;
  /** Whether the lines being read have just arrived. After a pause for unsent replies it is unknown when they did. */
  #isArriving = false;

  /** Subscribes to the connection; it runs until the connection is closed. */
  constructor(
    commands: ReadonlyMap<string, Command>,
    session: ControlSession,
    connection: ControlConnection,
  ) {
    this.#commands = commands;
    this.#session = session;
    this.#connection = connection;
    connection.on('readable', () => this.#linesArrived());
    connection.on('writable', () => this.#pump());
  }

  #linesArrived(): void {
    this.#isArriving = true;
    try {
      this.#pump();
    } finally {
      this.#isArriving = false;
    }
  }

  /** Executes what can be executed now. Called whenever there may be lines, or room for replies. */
  #pump(): void {
    if (this.#isPumping || this.#isYielding) return;
    this.#turnEndsAtMs = performance.now() + sliceMs();
    this.#continue();
  }

  /** Within the turn that has begun: thousands of commands can settle one after another without leaving it. */
  #continue(): void {
    if (this.#isPumping || this.#isYielding) return;
    this.#isPumping = true;
    try {
      while (this.#connection.isWritable && this.#step()) {
        if (performance.now() < this.#turnEndsAtMs) continue;
        this.#yield();
        return;
      }
    } finally {
      this.#isPumping = false;
    }
  }

  // One chunk from the socket can contain thousands of commands, and a client that reads its replies fast never stops the loop.
  #yield(): void {
    this.#isYielding = true;
    takeTurn(() => {
      this.#isYielding = false;
      this.#pump();
      // Bytes that arrived meanwhile may have paused reading, and what consumed them may have sent no reply.
      this.#connection.adjustReading();
    });
  }

  #step(): boolean {
    const session = this.#session;
    if (session.runningCommand !== undefined) return this.#stepWhileRunning();
    if (!session.acceptsCommands) return false;
    const received = session.waitingLines.shift() ?? this.#receive();
    if (received === undefined) {
      session.inputConsumed();
      return false;
    }
    this.#execute(received);
    return true;
  }

  /** Reads the next line and handles one that must not wait. Returns whether another line may be read. */
  #stepWhileRunning(): boolean {
    const { transfer, commandAbort, waitingLines, isTransferAnnounced } = this.#session;
    if ((transfer === undefined && commandAbort === undefined) || this.#isQueueFull) return false;
    const received = this.#receive();
    if (received === undefined) return false;
    const { line, command } = received;
    // ABOR's own reply waits for its turn, right after that of what it aborts.
    if (command?.duringTransfer === 'aborts-it') {
      transfer?.abort('ABOR');
      commandAbort?.abort(new CommandAborted());
    } else if (line.kind === 'line' && this.#isArriving) transfer?.commandArrived(command?.verb === 'QUIT');
    // A client that pipelines expects its replies in order; only what it sends after the 150 is meant for this moment.
    const isMeantNow = isTransferAnnounced && waitingLines.length === 0;
    if (
      command?.duringTransfer === 'answered-without-argument' &&
      line.kind === 'line' &&
      argumentOf(line.text) === '' &&
      isMeantNow
    ) {
      this.#answerDuringTransfer(command);
      return true;
    }
    waitingLines.push(received);
    return true;
  }

  get #isQueueFull(): boolean {
    const { waitingLines } = this.#session;
    if (waitingLines.length >= maxWaitingLines) return true;
    const characters = waitingLines.reduce(
      (sum, { line }) => sum + (line.kind === 'line' ? line.text.length : 0),
      0,
    );
    return characters >= maxWaitingCharacters;
  }

  #receive(): ReceivedLine | undefined {
    const line = this.#connection.nextLine();
    if (line === undefined) return undefined;
    return { line, command: line.kind === 'line' ? this.#find(verbOf(line.text)) : undefined };
  }

  #answerDuringTransfer(command: Command): void {
    const outcome = this.#call(command, '');
    if (!(outcome instanceof Promise)) {
      this.#answer(outcome);
      return;
    }
    outcome.then(
      (final) => this.#answer(final),
      (error: unknown) => this.#answer(this.#failure(error)),
    );
  }

  #execute({ line, command }: ReceivedLine): void {
    if (line.kind === 'too-long') {
      this.#answer(lineTooLong);
      this.#session.overlongLineReceived();
      return;
    }
    if (command === undefined) {
      this.#answer(notUnderstood);
      return;
    }
    if (command.isAbortable === true) this.#session.commandAbort = new AbortController();
    const argument = argumentOf(line.text);
    const outcome = this.#call(command, argument);
    if (!(outcome instanceof Promise)) {
      this.#finish(command, argument, outcome);
      return;
    }
    this.#session.runningCommand = command;
    outcome.then(
      (final) => this.#finish(command, argument, final),
      (error: unknown) => this.#finish(command, argument, this.#failure(error)),
    );
  }

  #finish(command: Command, argument: string, final: Reply): void {
    this.#session.runningCommand = undefined;
    this.#session.commandAbort = undefined;
    this.#answer(final, command, argument);
    this.#continue();
  }

  #answer(final: Reply, command?: Command, argument = ''): void {
    this.#connection.send(final);
    // Otherwise it is the reply to STAT during a transfer, whose own event is still to come.
    if (this.#session.transfer === undefined) observeCommand(this.#session, command, argument, final);
    this.#session.replySent(command);
  }

  #call(command: Command, argument: string): Reply | Promise<Reply> {
    if (command.argument !== 'verbatim' && /[\x00-\x1f\x7f]/.test(argument)) return controlCharacters;
    const session = this.#session;
    try {
      if (command.access === 'anyone') return command.handle(session, argument);
      if (session.loginState.step !== 'logged-in') return loginFirst;
      const { login } = session.loginState;
      if (command.permission !== undefined && !can(login.user, command.permission)) {
        return permissionDenied;
      }
      return command.handle(session, login, argument);
    } catch (error) {
      return this.#failure(error);
    }
  }

  #failure(error: unknown): Reply {
    if (error instanceof FilesystemError) return filesystemReply(error.kind, error.causeCode);
    if (error instanceof CommandAborted) return commandAborted;
    // A failure after the end of the session is not a defect: whatever the session started was aborted with it.
    if (!this.#session.signal.aborted) {
      this.#session.observe({ event: 'unexpected-error', sessionId: this.#session.id, error });
    }
    return unexpectedError;
  }

  #find(verb: string): Command | undefined {
    return this.#commands.get(verb) ?? this.#findBehindSynch(verb);
  }

  // Bytes of the Telnet Synch that a client sends before ABOR, STAT and QUIT (RFC 959 4.1.3) can remain when its urgent byte is lost.
  #findBehindSynch(verb: string): Command | undefined {
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
