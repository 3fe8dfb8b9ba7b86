/** What is known of a control connection before its first command. */
import type { CompleteProxyHeader } from '../../net/proxy-protocol.ts';
import type { Admission } from './admission.ts';
import type { ControlTls, Session } from '../commands/session.ts';

/** The addresses of a connection, as `Session` describes them. */
export type ClientAddresses = Pick<Session, 'clientAddress' | 'reachedAddress' | 'reachedThroughProxy'>;

/** What a session is created with, besides its socket. */
export type IncomingConnection = {
  readonly addresses: ClientAddresses;
  /** Whether a PROXY header with the client's address precedes the first command. */
  readonly proxyHeader: 'expected' | 'none';
  /** What it is counted for. Behind a proxy the client's address is counted by the session. */
  readonly admission: Admission;
  /** Set where the handshake came first (implicit TLS). */
  readonly tls: ControlTls | undefined;
};

/**
 * The addresses that the PROXY header names: the client's, and the load balancer's address that it reached. A proxy's own
 * connection (LOCAL) has those of its socket.
 */
export function addressesBehindProxy(
  header: Exclude<CompleteProxyHeader, { readonly kind: 'malformed' }>,
  socketAddresses: ClientAddresses,
): ClientAddresses {
  if (header.kind === 'local') return socketAddresses;
  return {
    clientAddress: header.source.address,
    reachedAddress: header.destination.address,
    reachedThroughProxy: true,
  };
}
