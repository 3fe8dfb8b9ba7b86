/** One transfer command: from its data connection to the final reply and the event. */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { DataConnectionError } from '../data/data-connection-source.ts';
import { DataProtectionError } from '../data/data-tls.ts';
import {
  DataConnectionLost,
  Transfer,
  type TransferRequest,
  type TransferSettings,
} from '../data/transfer.ts';
import { reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';

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
  if (source === undefined) return reply(425, 'Use PASV, EPSV, PORT or EPRT first.');
  session.dataConnectionSource = undefined;
  const transfer = new Transfer(
    {
      request,
      source,
      sessionSignal: session.signal,
      deflateLevel: session.transmissionMode === 'Z' ? session.deflateLevel : undefined,
      secureContext: session.protectionLevel === 'P' ? session.tls?.secureContext : undefined,
    },
    settings,
  );
  session.transfer = transfer;
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
    observeEnd(session, login, transfer, failure);
  }
}

function failureReply(transfer: Transfer, error: unknown, settings: TransferSettings): Reply | undefined {
  // The upload may be stored, so no reply may say that it was aborted.
  if (isUnconfirmed(error)) return undefined;
  switch (transfer.abortReason) {
    case 'client-abort':
      return reply(426, 'Connection closed; transfer aborted.');
    case 'stall-timeout': {
      const seconds = Math.ceil(settings.stallTimeoutMs / 1000);
      return reply(426, `No data moved for ${seconds} s; transfer aborted.`);
    }
    case 'drain':
      return reply(426, 'The gateway is stopping; transfer aborted.');
    case 'control-connection-lost':
      return reply(426, 'The session has ended; transfer aborted.');
    case undefined:
      break;
  }
  if (error instanceof DataConnectionError) return reply(425, error.message);
  if (error instanceof DataProtectionError) return reply(522, error.message);
  if (error instanceof DataConnectionLost) return reply(426, error.message);
  return undefined;
}

function observeEnd(session: Session, login: Login, transfer: Transfer, failure: unknown): void {
  const outcome =
    failure === undefined ? 'completed' : isClientFailure(transfer, failure) ? 'aborted' : 'failed';
  const reason = isUnconfirmed(failure) ? reasonOf(failure) : (transfer.abortReason ?? reasonOf(failure));
  session.observe({
    event: 'transfer',
    sessionId: session.id,
    username: login.user.name,
    verb: transfer.verb,
    pathname: transfer.pathname,
    sizeBytes: transfer.movedBytes,
    ...(transfer.keptBytes > 0 && { offsetBytes: transfer.keptBytes, resumed: true }),
    durationMs: Date.now() - transfer.startedAtMs,
    outcome,
    ...(failure !== undefined && reason !== undefined && { reason }),
    tls: session.protectionLevel === 'P' && session.tls !== undefined,
  });
}

/** Reason for the log. Messages of a FilesystemError are safe to log; for other errors log only the name. */
function reasonOf(failure: unknown): string | undefined {
  if (failure instanceof FilesystemError) return `${failure.kind}: ${failure.message}`;
  return failure instanceof Error ? failure.name : undefined;
}

function isClientFailure(transfer: Transfer, failure: unknown): boolean {
  if (isUnconfirmed(failure)) return false;
  return (
    transfer.abortReason !== undefined ||
    failure instanceof DataConnectionError ||
    failure instanceof DataProtectionError ||
    failure instanceof DataConnectionLost ||
    (failure instanceof FilesystemError && failure.kind === 'client-silent')
  );
}

/** Whether an upload failed that may have been committed nevertheless. */
function isUnconfirmed(failure: unknown): boolean {
  return failure instanceof FilesystemError && failure.kind === 'unconfirmed';
}
