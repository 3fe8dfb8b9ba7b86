/**
 * Lets an accepted socket read into buffers of the caller. Node allocates an ArrayBuffer for every read otherwise, for every TLS
 * record of 16 KiB, and V8 responds to that much external memory with full garbage collections. `net.connect` has a documented
 * option for it (`onread`); accepted sockets and TLS servers have none, so the same switch is set afterwards, on fields of
 * the socket that are found with the documented option. See docs/decisions/0020-uploads-into-reused-buffers.md.
 */
import { Socket } from 'node:net';

/** The keys under which a socket keeps what `onread` was given. */
type ReadKeys = { readonly buffer: symbol; readonly nextBuffer: symbol; readonly callback: symbol };

/** The part of Node's stream handles that this file depends on. */
type Handle = { readonly useUserBuffer?: (buffer: Uint8Array) => unknown };

const keys = findReadKeys();

/** Whether this version of Node has the switch. */
export const canReadInto = keys !== undefined;

export type BufferedReader = {
  /** Where the next bytes go; called before the first read and after every one. Never empty. */
  nextBuffer(): Uint8Array;
  /** That many bytes were read into the buffer that `nextBuffer` returned last. Must not throw. */
  onBytes(byteCount: number): void;
};

/**
 * From now on the socket's bytes go into the reader's buffers, and no `data` event comes any more; `pause`, `resume`, `end` and
 * `close` work as before. After `pause` some more bytes may still come, because TLS has decrypted them already. The last buffer
 * may be written to until the socket has ended or is destroyed. Returns false, and changes nothing, where the socket cannot do that now.
 */
export function readInto(socket: Socket, reader: BufferedReader): boolean {
  const { _handle: handle } = socket as Socket & { readonly _handle?: Handle | null };
  // Bytes that the stream holds already would be overtaken by those that come.
  if (keys === undefined || socket.readableLength > 0) return false;
  if (typeof handle?.useUserBuffer !== 'function') return false;
  const first = reader.nextBuffer();
  Object.assign(socket, {
    [keys.buffer]: first,
    [keys.nextBuffer]: () => reader.nextBuffer(),
    [keys.callback]: (byteCount: number): true => {
      reader.onBytes(byteCount);
      return true;
    },
  });
  handle.useUserBuffer(first);
  return true;
}

function findReadKeys(): ReadKeys | undefined {
  const buffer = new Uint8Array(1);
  const nextBuffer = (): Uint8Array => buffer;
  const callback = (): boolean => true;
  const options = [
    { buffer, callback },
    { buffer: nextBuffer, callback },
  ];
  const [one, other] = options.map((onread) => new Socket({ onread }));
  const found = {
    buffer: keyOf(one, buffer),
    nextBuffer: keyOf(other, nextBuffer),
    callback: keyOf(one, callback),
  };
  one?.destroy();
  other?.destroy();
  return Object.values(found).includes(undefined) ? undefined : (found as ReadKeys);
}

function keyOf(socket: Socket | undefined, value: unknown): symbol | undefined {
  const symbols = socket === undefined ? [] : Object.getOwnPropertySymbols(socket);
  return symbols.find((symbol) => (socket as unknown as Record<symbol, unknown>)[symbol] === value);
}
