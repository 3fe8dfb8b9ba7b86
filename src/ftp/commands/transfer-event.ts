/** The event at the end of a transfer: how it ended, why, and what is known of its data connection and its object. */
import { FilesystemError } from '../../filesystem/filesystem-error.ts';
import { CausedError, causeOf, type CauseCode } from '../../observability/cause.ts';
import { DataConnectionError } from '../data/data-connection-source.ts';
import { DataProtectionError } from '../data/data-tls.ts';
import { DataConnectionLost, type Transfer } from '../data/transfer.ts';
import type { Login, Session } from './session.ts';

/** Observes the end of a transfer. @param failure what ended it; undefined if it was completed. */
export function observeTransfer(session: Session, login: Login, transfer: Transfer, failure: unknown): void {
  observeHandshake(session, failure);
  const { mode, port, waitedMs } = transfer.dataConnection;
  const { stored, warning, tlsVersion } = transfer;
  const isOfClient = isClientFailure(transfer, failure);
  // A client that gives up while the storage fails, or does not respond, is not the cause.
  const storageFailure = isOfClient ? transfer.storageFailure : undefined;
  const outcome = failure === undefined ? 'completed' : isOfClient && !storageFailure ? 'aborted' : 'failed';
  session.observe({
    event: 'transfer',
    sessionId: session.id,
    clientAddress: session.clientAddress,
    username: login.user.name,
    verb: transfer.verb,
    pathname: transfer.pathname,
    ...login.filesystem.locate?.(transfer.pathname),
    ...(stored?.versionId !== undefined && { versionId: stored.versionId }),
    ...(stored?.checksum !== undefined && { checksum: stored.checksum }),
    sizeBytes: transfer.movedBytes,
    ...(transfer.keptBytes > 0 && { offsetBytes: transfer.keptBytes, resumed: true }),
    durationMs: Date.now() - transfer.startedAtMs,
    outcome,
    ...(storageFailure && { cause: storageFailure.causeCode, detail: storageFailure.message }),
    ...(failure !== undefined && !storageFailure && failureFields(session, transfer, failure)),
    ...(warning !== undefined && { warning }),
    dataMode: mode,
    dataPort: port,
    ...(waitedMs !== undefined && { waitedMs: Math.round(waitedMs) }),
    tls: session.protectionLevel === 'P' && session.tls !== undefined,
    ...(tlsVersion !== undefined && { tlsVersion }),
  });
}

/** A data connection whose handshake failed has an event of its own, as one of a control connection has. */
function observeHandshake({ id: sessionId, clientAddress, observe }: Session, failure: unknown): void {
  const common = { event: 'tls-failed', sessionId, clientAddress, connection: 'data' } as const;
  if (failure instanceof DataProtectionError) observe({ ...common, cause: failure.causeCode });
  if (!(failure instanceof DataConnectionError) || failure.handshake === undefined) return;
  observe({ ...common, ...failure.handshake });
}

type FailureFields = {
  readonly cause: CauseCode;
  readonly detail?: string;
  readonly controlIdleMs?: number;
};

/** Messages of the two known classes are written to be read; those of other errors may contain anything. */
function failureFields(session: Session, transfer: Transfer, failure: unknown): FailureFields {
  const { abortCause } = transfer;
  if (abortCause === undefined || isUnconfirmed(failure)) {
    const isReadable = failure instanceof FilesystemError || failure instanceof CausedError;
    return { cause: causeOf(failure), ...(isReadable && { detail: failure.message }) };
  }
  const { missingConnectionCause } = transfer;
  if (abortCause === 'ABOR') return { cause: missingConnectionCause ?? abortCause };
  if (abortCause !== 'CLIENT-CLOSED' && abortCause !== 'CONTROL-LOST') return { cause: abortCause };
  const controlIdleMs = Math.round(session.controlIdleMs);
  // A client whose data connection never opens gives up by closing the control connection.
  if (missingConnectionCause === undefined) return { cause: abortCause, controlIdleMs };
  return {
    cause: missingConnectionCause,
    detail: `the client gave up (${abortCause}) before a data connection was made`,
    controlIdleMs,
  };
}

function isClientFailure(transfer: Transfer, failure: unknown): boolean {
  if (isUnconfirmed(failure)) return false;
  return (
    transfer.abortCause !== undefined ||
    failure instanceof DataConnectionError ||
    failure instanceof DataProtectionError ||
    failure instanceof DataConnectionLost ||
    (failure instanceof FilesystemError && failure.kind === 'client-silent')
  );
}

/** Whether an upload failed that may have been committed nevertheless. */
export function isUnconfirmed(failure: unknown): boolean {
  return failure instanceof FilesystemError && failure.kind === 'unconfirmed';
}
