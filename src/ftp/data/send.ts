/** From the storage to the client: writes a stream of bytes to the data connection, no faster than the client reads them. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { deflate } from './mode-z.ts';
import { closeInOrder, type Transfer } from './transfer.ts';

type Content = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export type SendOptions = {
  /** Size of the content as announced in the 150. A download of another size does not end as complete. */
  readonly announcedBytes?: number;
  /** Called for each chunk of `content` that the kernel or TLS has taken, so that its memory is used again; not in MODE Z. */
  readonly recycle?: ((bytes: Uint8Array) => void) | undefined;
};

/**
 * Sends all of `content`, deflated in MODE Z, and closes the data connection in order. Resolves when the kernel has every byte
 * and the end, so that a 226 sent then follows them; rejects with `DataConnectionLost`, or with what `content` threw.
 */
export function send(
  transfer: Transfer,
  socket: Socket,
  content: Content,
  options: SendOptions = {},
): Promise<void> {
  const { deflateLevel } = transfer;
  if (deflateLevel === undefined) return sendBytes(transfer, socket, content, options);
  const { announcedBytes } = options;
  const deflated = deflate(countPayload(transfer, content), deflateLevel);
  return sendBytes(transfer, socket, deflated, announcedBytes === undefined ? {} : { announcedBytes });
}

async function* countPayload(transfer: Transfer, content: Content): AsyncGenerator<Uint8Array> {
  for await (const bytes of content) {
    transfer.movedBytes += bytes.length;
    yield bytes;
  }
}

async function sendBytes(
  transfer: Transfer,
  socket: Socket,
  content: Content,
  { announcedBytes, recycle }: SendOptions,
): Promise<void> {
  const isPayload = transfer.deflateLevel === undefined;
  let isCorked = false;
  const uncork = (): void => {
    isCorked = false;
    socket.uncork();
  };
  let wake: (() => void) | undefined;
  const onProgress = (): void => {
    wake?.();
    wake = undefined;
  };
  socket.on('drain', onProgress);
  socket.on('close', onProgress);
  const waitForDrain = async (): Promise<void> => {
    transfer.startWaitingForClient();
    await new Promise<void>((resolve) => (wake = resolve));
    transfer.stopWaitingForClient();
  };
  for await (const bytes of content) {
    throwIfDestroyed(socket, transfer);
    if (isPayload) transfer.movedBytes += bytes.length;
    // Writes of one turn go to the kernel, or into TLS records, together.
    if (!isCorked) {
      isCorked = true;
      socket.cork();
      process.nextTick(uncork);
    }
    // After an error the kernel may not be done with the chunk; it is left to the garbage collector.
    if (recycle) socket.write(bytes, (error) => (error ? undefined : recycle(bytes)));
    else socket.write(bytes);
    // Often the kernel has taken everything already, whatever write() returned; then there is nothing to wait for.
    if (socket.writableLength >= socket.writableHighWaterMark) await waitForDrain();
  }
  transfer.throwIfAborted();
  throwIfDestroyed(socket, transfer);
  const missingBytes = (announcedBytes ?? transfer.movedBytes) - transfer.movedBytes;
  if (missingBytes !== 0)
    throw new FilesystemError('unavailable', `a download ended ${missingBytes} bytes early`);
  if (isCorked) uncork();
  if (socket.writableLength === 0 && !(socket instanceof TLSSocket)) {
    // The callbacks of the last writes are due in the next tick. A socket destroyed before it would make an error for them, and
    // collecting its stack takes longer than all else in sending a small file.
    await new Promise<void>((resolve) => process.nextTick(resolve));
    throwIfDestroyed(socket, transfer);
    // The kernel has every byte, and closing sends the end after them. Only bytes that the client sent, where it has nothing
    // to send, could turn the close into a reset.
    transfer.releaseConnection();
    socket.destroy();
    return;
  }
  const finished = new Promise<void>((resolve, reject) => {
    let isFinished = false;
    socket.once('finish', () => {
      isFinished = true;
      resolve();
    });
    // Created once, because capturing a stack trace for each transfer is expensive.
    socket.once('close', () => (isFinished ? undefined : reject(transfer.connectionError())));
  });
  transfer.startWaitingForClient();
  closeInOrder(socket);
  await finished;
  transfer.releaseConnection();
}

function throwIfDestroyed(socket: Socket, transfer: Transfer): void {
  if (socket.destroyed) throw transfer.connectionError();
}
