/** One transfer command: from its data connection to the final reply and the event. */
import { DataConnectionError } from '../data/data-connection-source.ts';
import { DataProtectionError } from '../data/data-tls.ts';
import {
  DataConnectionLost,
  Transfer,
  type TransferAbortCause,
  type TransferRequest,
  type TransferSettings,
} from '../data/transfer.ts';
import { ListingTooLarge } from '../listing/entries.ts';
import { causedReply, reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import { isUnconfirmed, observeTransfer } from './transfer-event.ts';

/**
 * Runs one transfer command from its first step to its final reply. `move` opens the file, sends the 150, calls
 * `transfer.connect()`, moves the bytes and returns the final reply. A failure of the data connection becomes the reply here;
 * other failures are rethrown, and the command loop maps them. The data connection source is used up in any case.
 */
export async function runTransfer(
  session: Session,
  login: Login,
  request: TransferRequest,
  settings: TransferSettings,
  move: (transfer: Transfer) => Promise<Reply>,
): Promise<Reply> {
  const source = session.dataConnectionSource;
  if (source === undefined) {
    const verbs = settings.activeMode === 'off' ? 'PASV or EPSV' : 'PASV, EPSV, PORT or EPRT';
    return reply(425, `Use ${verbs} first.`, 'DATA-NO-MODE');
  }
  session.dataConnectionSource = undefined;
  const transfer = new Transfer(
    {
      request,
      source,
      sessionSignal: session.signal,
      deflateLevel: session.transmissionMode === 'Z' ? session.deflateLevel : undefined,
      tls: session.protectionLevel === 'P' ? session.tls : undefined,
    },
    settings,
  );
  session.transfer = transfer;
  session.audited = 'transfer';
  let failure: unknown;
  try {
    return await move(transfer);
  } catch (error) {
    failure = error;
    // A download that was opened but never read (no data connection came) still has a request in progress.
    transfer.cancelStorageRequests(error);
    const final = failureReply(transfer, error, settings);
    if (final === undefined) throw error;
    return final;
  } finally {
    transfer.end();
    session.transfer = undefined;
    observeTransfer(session, login, transfer, failure);
  }
}

function failureReply(transfer: Transfer, error: unknown, settings: TransferSettings): Reply | undefined {
  // The upload may be stored, so no reply may say that it was aborted.
  if (isUnconfirmed(error)) return undefined;
  if (transfer.abortCause !== undefined) return abortReply(transfer.abortCause, settings);
  if (error instanceof DataConnectionError) return causedReply(425, error);
  if (error instanceof DataProtectionError) return causedReply(522, error);
  if (error instanceof DataConnectionLost) return causedReply(426, error);
  if (error instanceof ListingTooLarge) return causedReply(451, error);
  return undefined;
}

function abortReply(cause: TransferAbortCause, { stallTimeoutMs }: TransferSettings): Reply {
  if (cause === 'ABOR') return reply(426, 'Connection closed; transfer aborted.', cause);
  if (cause === 'DRAIN') return reply(426, 'The gateway is stopping; transfer aborted.', cause);
  if (cause !== 'DATA-STALLED') return reply(426, 'The session has ended; transfer aborted.', cause);
  return reply(426, `No data moved for ${Math.ceil(stallTimeoutMs / 1000)} s; transfer aborted.`, cause);
}
