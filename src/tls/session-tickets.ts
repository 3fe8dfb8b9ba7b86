/**
 * Issues session tickets for the control connection, and none for data connections.
 *
 * OpenSSL ends every TLS 1.3 handshake by sending tickets. A client that only sends on its data connection (STOR) may never
 * read them; when it closes, its kernel finds unread bytes, sends RST in place of FIN, and discards what it had not sent yet.
 * The upload is then truncated although the client did nothing wrong (seen with Perl's Net::FTP). Data connections resume the
 * control connection's session, so they need no tickets of their own.
 * Why an undocumented hook of Node does this: docs/decisions/0006-no-tickets-on-data-connections.md.
 */
import { randomBytes } from 'node:crypto';
import type { SecureContext } from 'node:tls';

/** Tickets that OpenSSL sends at the end of a full handshake (SSL_CTX_set_num_tickets(3): two by default). */
export const ticketsOfControlConnection = 2;

/** Node's ticket callback (`onticketkeycallback` of its native TLS context). */
type TicketKeyCallback = (
  name: Uint8Array,
  vector: Uint8Array,
  isIssuing: boolean,
) => [result: 0 | 1, hmacKey: Buffer, aesKey: Buffer, name?: Buffer, vector?: Buffer];

type NativeContext = {
  enableTicketKeyCallback?: () => void;
  onticketkeycallback?: TicketKeyCallback;
};

/** Tickets that each limited context may still issue. */
const allowances = new WeakMap<SecureContext, { tickets: number }>();

/**
 * Issues no more tickets: to be called before the first data connection. TLS 1.2 has one ticket for each handshake, so the control
 * connection leaves one over. A client that got it on a data connection could resume that one, which proves nothing, and Java does so
 * whenever it reaches the same port again.
 */
export function endTickets(context: SecureContext): void {
  const allowance = allowances.get(context);
  if (allowance) allowance.tickets = 0;
}

/**
 * Limits the context to issuing tickets for its first handshake, the control connection's, and to accepting only those.
 * `none`: it issues none at all. Returns whether this Node has the hook; without it the context is unchanged.
 */
export function limitTickets(context: SecureContext, tickets: 'control-connection' | 'none'): boolean {
  const native = context.context as NativeContext;
  if (typeof native.enableTicketKeyCallback !== 'function') return false;
  const keyName = randomBytes(16);
  const hmacKey = randomBytes(16);
  const aesKey = randomBytes(16);
  const allowance = { tickets: tickets === 'none' ? 0 : ticketsOfControlConnection };
  allowances.set(context, allowance);
  native.onticketkeycallback = (name, _vector, isIssuing) => {
    // 0: send no ticket, or reject this one and do a full handshake (SSL_CTX_set_tlsext_ticket_key_cb(3)).
    if (!isIssuing) return [keyName.equals(name) ? 1 : 0, hmacKey, aesKey];
    return [allowance.tickets-- > 0 ? 1 : 0, hmacKey, aesKey, keyName, randomBytes(16)];
  };
  native.enableTicketKeyCallback();
  return true;
}
