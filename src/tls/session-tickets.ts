/**
 * Issues session tickets for the control connection, and none for data connections.
 *
 * OpenSSL ends every TLS 1.3 handshake by sending tickets. A client that only sends on its data connection (STOR) may never
 * read them; when it closes, its kernel finds unread bytes, sends RST in place of FIN, and discards what it had not sent yet.
 * The upload is then truncated through no fault of the client (seen with Perl's Net::FTP). Data connections resume the
 * control connection's session, so they need no tickets of their own.
 * Why an undocumented hook of Node does this: docs/decisions/0006-no-tickets-on-data-connections.md.
 */
import { randomBytes } from 'node:crypto';
import type { SecureContext } from 'node:tls';

/** Tickets that OpenSSL sends at the end of a full handshake (SSL_CTX_set_num_tickets(3): two by default). */
const ticketsOfControlConnection = 2;

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

type IssuedTickets = {
  /** How many the context may still issue. */
  allowance: number;
  /** The last one that a client presented, by its initialization vector, which is random. */
  presented?: string;
  readonly used: Set<string>;
};

/** Of each limited context. */
const issuedTickets = new WeakMap<SecureContext, IssuedTickets>();

/**
 * Records that a handshake has resumed with the ticket that was presented last, and returns whether an earlier one has resumed with
 * the same ticket. To be called once after each resumed handshake, before the next one of this context.
 */
export function isTicketUsedAgain(context: SecureContext): boolean {
  const tickets = issuedTickets.get(context);
  if (tickets?.presented === undefined) return false;
  const isUsedAgain = tickets.used.has(tickets.presented);
  tickets.used.add(tickets.presented);
  return isUsedAgain;
}

/**
 * Issues no more tickets: to be called before the first data connection. TLS 1.2 has one ticket for each handshake, so the control
 * connection leaves one over. A client that got it on a data connection could resume that one, which proves nothing, and Java does so
 * whenever it reaches the same port again.
 */
export function endTickets(context: SecureContext): void {
  const tickets = issuedTickets.get(context);
  if (tickets) tickets.allowance = 0;
}

/**
 * Limits the context to issuing tickets for its next handshake, the control connection's, and to accepting only those: it gets new keys,
 * so tickets that it issued before are unknown. With data resumption `off` it issues none at all. Returns whether this Node has the
 * hook; without it the context is unchanged.
 */
export function limitTickets(
  context: SecureContext,
  dataResumption: 'off' | 'optional' | 'required',
): boolean {
  const native = context.context as NativeContext;
  if (typeof native.enableTicketKeyCallback !== 'function') return false;
  const keyName = randomBytes(16);
  const hmacKey = randomBytes(16);
  const aesKey = randomBytes(16);
  const issued: IssuedTickets = {
    allowance: dataResumption === 'off' ? 0 : ticketsOfControlConnection,
    used: new Set(),
  };
  issuedTickets.set(context, issued);
  native.onticketkeycallback = (name, vector, isIssuing) => {
    // 0: send no ticket, or reject this one and do a full handshake (SSL_CTX_set_tlsext_ticket_key_cb(3)).
    if (!isIssuing) {
      const isOurs = keyName.equals(name);
      if (isOurs) issued.presented = Buffer.from(vector).toString('base64');
      return [isOurs ? 1 : 0, hmacKey, aesKey];
    }
    return [issued.allowance-- > 0 ? 1 : 0, hmacKey, aesKey, keyName, randomBytes(16)];
  };
  native.enableTicketKeyCallback();
  return true;
}
