/** The buffers that a data connection is read into: those of the sink, or ordinary ones while the sink has none to give. */
import type { ByteSink, ReceiveBuffer } from '../../filesystem/filesystem.ts';

/** The size of Node's own buffers for TLS and for TCP. */
const ordinaryBytes = { tls: 16 * 1024, tcp: 64 * 1024 } as const;

type BufferedSink = ByteSink & Required<Pick<ByteSink, 'takeBuffer' | 'writeBuffer'>>;

export class SinkBuffers {
  readonly #sink: BufferedSink;
  readonly #ordinaryBytes: number;
  /** The sink's buffer that is being filled; while there is none, `#ordinary` takes the bytes. */
  #taken: ReceiveBuffer | undefined;
  #ordinary: Uint8Array | undefined;

  private constructor(sink: BufferedSink, first: ReceiveBuffer, isTls: boolean) {
    this.#sink = sink;
    this.#taken = first;
    this.#ordinaryBytes = isTls ? ordinaryBytes.tls : ordinaryBytes.tcp;
  }

  /** Undefined where the sink has no buffers, or none now. */
  static of(sink: ByteSink, isTls: boolean): SinkBuffers | undefined {
    if (!isBuffered(sink)) return undefined;
    const first = sink.takeBuffer();
    return first && new SinkBuffers(sink, first, isTls);
  }

  /** Where the next bytes go. */
  next(): Uint8Array {
    this.#taken ??= this.#ordinary ? undefined : this.#sink.takeBuffer();
    if (this.#taken) {
      const { bytes, usedBytes } = this.#taken;
      return usedBytes === 0 ? bytes : bytes.subarray(usedBytes);
    }
    this.#ordinary ??= Buffer.allocUnsafeSlow(this.#ordinaryBytes);
    return this.#ordinary;
  }

  /** That many bytes are in the buffer that `next` returned. Returns as `ByteSink.write` does. */
  received(byteCount: number): Promise<void> | undefined {
    const taken = this.#taken;
    if (taken) {
      taken.usedBytes += byteCount;
      if (taken.usedBytes < taken.bytes.length) return undefined;
      this.#taken = undefined;
      return this.#sink.writeBuffer();
    }
    const ordinary = this.#ordinary;
    this.#ordinary = undefined;
    return ordinary && this.#sink.write(ordinary.subarray(0, byteCount));
  }

  /** The end of the data: writes what the last buffer holds to the sink. */
  finish(): Promise<void> | undefined {
    const isTaken = this.#taken !== undefined;
    this.#taken = undefined;
    return isTaken ? this.#sink.writeBuffer() : undefined;
  }
}

function isBuffered(sink: ByteSink): sink is BufferedSink {
  return sink.takeBuffer !== undefined && sink.writeBuffer !== undefined;
}
