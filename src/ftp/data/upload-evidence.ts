/**
 * Distinguishes a client that finished its upload from one that was killed in mid-file: in both cases the data connection ends
 * in order. A command that arrives after that end comes from a client that is alive. Which of the two came first is known
 * only as far as the event loop shows it; docs/decisions/0007-end-of-an-upload.md has the rules and the reasons.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Silence on the data connection that ends an upload whose client has sent QUIT and closed the control connection. */
const departureSilenceMs = 20;
/** And for how many event-loop turns, each of which may be long: a sender needs one turn to fill its TCP window again. */
const silentTurns = 3;
/** More bytes than both kernels buffer (Linux: 4 MB to send, 6 MB to receive) cannot have been sent before the QUIT. */
const maxBytesInFlight = 16 * 1024 * 1024;

/** Nearly every client writes this much to its kernel in one call, so a file up to this size is not cut in the middle. */
const oneWriteBytes = 8 * 1024;
/** And a client that has sent so small a file closes its data connection within this time. */
const promptEndMs = 2;
/** After this long a silence before the end of the data the whole grace time is needed; after a shorter one a part of it. */
const wholeGraceSilenceMs = 5;
/** The minimum, as a fraction of the time that the upload took, and in milliseconds. */
const minGraceFraction = 0.2;
const minGraceMs = 20;

/** What the data connection of an upload has shown when it has ended in order. */
export type UploadEnd = {
  readonly receivedBytes: number;
  /** From the first byte to the last, in milliseconds. */
  readonly durationMs: number;
  /** From the last byte to the end, in milliseconds. */
  readonly silenceMs: number;
};

/**
 * How long the control connection of a client that was killed in mid-file may stay open after its data connection, in
 * milliseconds; 0 where the client cannot have been killed in mid-file. A process that is killed needs a millisecond or more,
 * and much longer where it has to wait for a CPU, before its kernel closes the first connection, and as long again before it
 * closes the second one. So the earlier the end came after the last byte, the less grace is needed: either the client was alive,
 * or its last bytes were still in its kernel, which then sends the other FIN first.
 * @param maxGraceMs what is needed after a longer silence.
 */
export function uploadGraceMs(
  { receivedBytes, durationMs, silenceMs }: UploadEnd,
  maxGraceMs: number,
): number {
  if (receivedBytes <= oneWriteBytes && silenceMs < promptEndMs) return 0;
  const bySilenceMs = (maxGraceMs * silenceMs) / wholeGraceSilenceMs;
  return Math.min(maxGraceMs, Math.max(minGraceMs, durationMs * minGraceFraction, bySilenceMs));
}

type Departure = { readonly startBytes: number; silence: NodeJS.Timeout | undefined };

/** The evidence of one upload. Gets the events of both connections in the order in which they are read. */
export class UploadEvidence {
  readonly #giveUp: () => void;
  #isAnnounced = false;
  #hasDataEnded = false;
  #isConfirmed = false;
  /** A command was certainly sent before the end of the data, so only commands read after that end count. */
  #isPipelining = false;
  /** Commands so recent that the end of the data may have arrived before them and is not read yet. */
  #recent: { hasQuit: boolean } | undefined;
  /** The client has closed the control connection, and the rest of its data is still being read. */
  #departure: Departure | undefined;
  #receivedBytes = 0;
  /** How often data was read; in MODE Z, data may not be inflated yet. */
  #receipts = 0;
  #wake: (() => void) | undefined;

  /** @param giveUp aborts the upload; called when the client has gone before it sent the whole file. */
  constructor(giveUp: () => void) {
    this.#giveUp = giveUp;
  }

  /** Whether the client is known to have intended the end of the data. Then the upload is committed even if the client goes. */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  /** The 150 was sent. Commands read before it were sent before the data. */
  announced(): void {
    this.#isAnnounced = true;
  }

  /** A complete command line was read that does not abort the transfer. */
  commandArrived(isQuit: boolean): void {
    if (this.#hasDataEnded) this.#confirm();
    else if (!this.#isAnnounced) this.#isPipelining = true;
    else if (this.#recent !== undefined) this.#recent.hasQuit ||= isQuit;
    else if (!this.#isPipelining) {
      this.#recent = { hasQuit: isQuit };
      // One turn may be the rest of this one; in the other every socket is polled once.
      setImmediate(() => setImmediate(this.#onNotRecent));
    }
  }

  /** Data was read, or reading starts or resumes. @param receivedBytes payload bytes since the start. */
  received(receivedBytes: number): void {
    this.#receivedBytes = receivedBytes;
    this.#receipts += 1;
    const departure = this.#departure;
    if (departure === undefined) return;
    if (receivedBytes - departure.startBytes > maxBytesInFlight) this.#giveUp();
    else if (departure.silence === undefined) this.#listenForSilence(departure);
    else departure.silence.refresh();
  }

  /** The data connection is not being read, so its silence means nothing. */
  readingPaused(): void {
    clearTimeout(this.#departure?.silence);
    if (this.#departure !== undefined) this.#departure.silence = undefined;
  }

  /** The data connection ended in order, and every byte of it was read. */
  dataEnded(): void {
    this.#hasDataEnded = true;
    if (this.#recent?.hasQuit === true || this.#departure !== undefined) this.#confirm();
  }

  /** The control connection has ended. Returns whether the upload continues without it, at least for now. */
  controlConnectionEnded(): boolean {
    if (this.#isConfirmed || this.#departure !== undefined) return true;
    // Only QUIT shows that the client intends to leave; clients send other commands in mid-file, too, as keep-alives.
    if (this.#recent?.hasQuit !== true || this.#hasDataEnded) return false;
    this.#departure = { startBytes: this.#receivedBytes, silence: undefined };
    this.#listenForSilence(this.#departure);
    return true;
  }

  /**
   * Resolves when a command confirms the upload, or after the grace time and one more poll of the sockets: after a delay of the
   * whole process the timer fires before data that arrived in the meantime is read.
   * @param graceMs how long the control connection of a killed client may stay open after its data connection (`uploadGraceMs`).
   */
  async confirmedInTime(graceMs: number): Promise<void> {
    if (this.#isConfirmed || graceMs === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    if (!this.isConfirmed) await nextTurn();
  }

  /** The upload is over: clears all timers. */
  close(): void {
    this.readingPaused();
    this.#departure = undefined;
    this.#wake?.();
  }

  readonly #onNotRecent = (): void => {
    this.#recent = undefined;
    this.#isPipelining = true;
  };

  #listenForSilence(departure: Departure): void {
    departure.silence = setTimeout(() => void this.#checkSilence(departure), departureSilenceMs);
  }

  /** Gives up after a silence, but only when data that arrived in the meantime has been read (see `confirmedInTime`). */
  async #checkSilence(departure: Departure): Promise<void> {
    const receipts = this.#receipts;
    for (let turn = 0; turn < silentTurns; turn++) {
      await nextTurn();
      if (!this.#isSilent(departure) || this.#receipts !== receipts) return;
    }
    this.#giveUp();
  }

  #isSilent(departure: Departure): boolean {
    return this.#departure === departure && departure.silence !== undefined && !this.#hasDataEnded;
  }

  #confirm(): void {
    this.readingPaused();
    this.#isConfirmed = true;
    this.#wake?.();
  }
}
