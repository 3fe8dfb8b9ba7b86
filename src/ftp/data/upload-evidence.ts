/**
 * What tells a client that has finished its upload from one that was killed in its middle: to both belongs a data
 * connection that ends in order. A command that arrives behind that end comes from a client that lives. Which came first is
 * known only as far as the event loop shows it; the rules, and why, are in docs/decisions/0007-end-of-an-upload.md.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * The kernel closes the connections of a killed process one after the other, and the process may have to wait for its CPU in
 * between: up to 242 ms were measured. Two periods of a CPU quota (100 ms each, Linux's default) are in it, too, and the
 * retransmission of a lost FIN (200 ms at least, RFC 6298 as Linux implements it).
 */
const controlConnectionGraceMs = 250;
/** For how long no byte may come of an upload whose client has said QUIT and gone. */
const departureSilenceMs = 20;
/** And for how many turns of the event loop, which may take long each: a sender needs one of them to fill its window again. */
const silentTurns = 3;
/** More than the buffers of both kernels hold (Linux: 4 MB to send, 6 MB to receive) was not sent before the QUIT. */
const maxBytesInFlight = 16 * 1024 * 1024;

type Departure = { readonly startBytes: number; silence: NodeJS.Timeout | undefined };

/** The evidence of one upload. What happens on both connections is reported to it, in the order in which it is read. */
export class UploadEvidence {
  readonly #giveUp: () => void;
  #isAnnounced = false;
  #hasDataEnded = false;
  #isConfirmed = false;
  /** A command was certainly sent before the end of the data: later ones of this upload count only when read after it. */
  #isPipelining = false;
  /** Commands so recent that the end of the data may have arrived before them, unread. */
  #recent: { hasQuit: boolean } | undefined;
  /** The client has closed the control connection, and the rest of its data is still being read. */
  #departure: Departure | undefined;
  #receivedBytes = 0;
  /** How often data was read, whatever MODE Z has made of it yet. */
  #receipts = 0;
  #wake: (() => void) | undefined;

  /** `giveUp` aborts the upload of a client that has gone without having sent all of it. */
  constructor(giveUp: () => void) {
    this.#giveUp = giveUp;
  }

  /** Whether the client is known to have meant the end of the data: the upload is committed whatever comes of the client. */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  /** 150 was sent. What was sent before it was sent before the data. */
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

  /** Bytes of the data connection were read, or its reading begins or goes on; `receivedBytes` came since the start. */
  received(receivedBytes: number): void {
    this.#receivedBytes = receivedBytes;
    this.#receipts += 1;
    const departure = this.#departure;
    if (departure === undefined) return;
    if (receivedBytes - departure.startBytes > maxBytesInFlight) this.#giveUp();
    else if (departure.silence === undefined) this.#listenForSilence(departure);
    else departure.silence.refresh();
  }

  /** The data connection is not read for now: that it is silent means nothing. */
  readingPaused(): void {
    clearTimeout(this.#departure?.silence);
    if (this.#departure !== undefined) this.#departure.silence = undefined;
  }

  /** The data connection ended in order, and every byte of it was read. */
  dataEnded(): void {
    this.#hasDataEnded = true;
    if (this.#recent?.hasQuit === true || this.#departure !== undefined) this.#confirm();
  }

  /** The control connection has ended. Returns whether the upload goes on without it, at least for now. */
  controlConnectionEnded(): boolean {
    if (this.#isConfirmed || this.#departure !== undefined) return true;
    // Only QUIT says that a client means to leave; others are sent in mid-file, too, to keep the connection alive.
    if (this.#recent?.hasQuit !== true || this.#hasDataEnded) return false;
    this.#departure = { startBytes: this.#receivedBytes, silence: undefined };
    this.#listenForSilence(this.#departure);
    return true;
  }

  /**
   * Resolves as soon as a command confirms the upload, or after the grace time, and then only when the sockets have been
   * polled once more: after a delay of the whole process the timer is due before what arrived meanwhile is read.
   */
  async confirmedInTime(): Promise<void> {
    if (this.#isConfirmed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, controlConnectionGraceMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    if (!this.isConfirmed) await nextTurn();
  }

  /** The upload is over: no timer is left. */
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

  /** The verdict on a silence: as above, only when what has arrived meanwhile has been read. */
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
