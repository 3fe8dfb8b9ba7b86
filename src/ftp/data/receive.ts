/** From the client to the storage: writes the bytes of the data connection to a sink, no faster than the sink takes them. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { ByteSink } from '../../filesystem/filesystem.ts';
import { Inflater } from './mode-z.ts';
import { readInto } from './read-into.ts';
import { SinkBuffers } from './sink-buffers.ts';
import { closeInOrder, type Transfer } from './transfer.ts';

/** An upload that has sent this much is read into buffers of the sink; below, a buffer costs more than it saves. */
export const minBufferedBytes = 128 * 1024;

/**
 * Receives until the client has closed its side in order, then closes the connection, before the 226 is sent. Rejects with
 * `DataConnectionLost` for every other end, or with what broke the sink. In MODE Z the sink gets inflated bytes.
 */
export function receive(transfer: Transfer, socket: Socket, sink: ByteSink): Promise<void> {
  return transfer.deflateLevel === undefined
    ? receiveBytes(transfer, socket, sink)
    : receiveInflated(transfer, socket, sink);
}

/** MODE Z: the end of the deflate stream is the end of the file, and the data connection must end right after it. */
async function receiveInflated(transfer: Transfer, socket: Socket, sink: ByteSink): Promise<void> {
  const inflater = new Inflater({
    write: (bytes) => {
      transfer.movedBytes += bytes.length;
      return sink.write(bytes);
    },
  });
  try {
    const whole = receiveBytes(transfer, socket, inflater).then(() => inflater.end());
    await Promise.race([whole, inflater.failure]);
  } finally {
    inflater.close();
  }
}

function receiveBytes(transfer: Transfer, socket: Socket, sink: ByteSink): Promise<void> {
  const isPayload = transfer.deflateLevel === undefined;
  return new Promise((resolve, reject) => {
    const onRoom = (): void => {
      transfer.startWaitingForClient();
      socket.resume();
    };
    /** Writes bytes to the sink, and stops reading until it has room for more. */
    const writeToSink = (write: () => Promise<void> | undefined): void => {
      let room: Promise<void> | undefined;
      try {
        room = write();
      } catch (error) {
        reject(error instanceof Error ? error : new Error('the sink failed', { cause: error }));
        return;
      }
      if (room === undefined) {
        transfer.startWaitingForClient();
        return;
      }
      // While the socket is not read, TCP holds the client back, so it is not stalled.
      transfer.stopWaitingForClient();
      socket.pause();
      room.then(onRoom, reject);
    };
    let buffers: SinkBuffers | undefined;
    const onData = (bytes: Uint8Array): void => {
      transfer.receivedNow();
      if (isPayload) transfer.movedBytes += bytes.length;
      writeToSink(() => sink.write(bytes));
      // A pause that came before the switch would not stop the reads that follow it.
      if (transfer.movedBytes >= minBufferedBytes && !socket.isPaused()) switchToBuffers();
    };
    const switchToBuffers = (): void => {
      const offered = isPayload ? SinkBuffers.of(sink, socket instanceof TLSSocket) : undefined;
      if (!offered) return;
      const onBytes = (byteCount: number): void => {
        transfer.receivedNow();
        transfer.movedBytes += byteCount;
        writeToSink(() => offered.received(byteCount));
      };
      if (readInto(socket, { nextBuffer: () => offered.next(), onBytes })) {
        buffers = offered;
        socket.off('data', onData);
      } else offered.finish()?.catch(() => undefined);
    };
    let hasEnded = false;
    const onEnd = (): void => {
      hasEnded = true;
      transfer.stopWaitingForClient();
      transfer.releaseConnection();
      // A TLS client waits for our close_notify; a plain one needs only our FIN, which destroy() sends too.
      if (socket instanceof TLSSocket) closeInOrder(socket);
      else socket.destroy();
      // Bytes for which the sink has no room yet are written before the commit, or the commit fails.
      buffers?.finish()?.catch(() => undefined);
      resolve();
    };
    transfer.startReceiving();
    // Under TLS the client's end may have come with its last handshake record, before any listener was added here.
    if (socket.readableEnded) {
      onEnd();
      return;
    }
    if (socket.closed) {
      reject(transfer.connectionError());
      return;
    }
    socket.on('data', onData);
    socket.once('end', onEnd);
    socket.once('close', () => {
      if (!hasEnded) reject(transfer.connectionError());
    });
    transfer.startWaitingForClient();
    socket.resume();
  });
}
