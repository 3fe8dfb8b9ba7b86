/** TLS of the control connection and protection of data connections: AUTH, PBSZ, PROT, CCC. */
import { reply, type Reply } from './reply.ts';
import type { Session } from './session.ts';
import type { Command } from './command.ts';

export type SecurityOptions = { readonly tls: 'off' | 'optional' | 'required' };

const noTls = reply(502, 'TLS is not available here.');
const authFirst = reply(503, 'Send AUTH TLS first.');
const staysUnderTls = reply(534, 'The control connection stays under TLS.');
const inClearAlready = reply(533, 'The control connection is in clear already.');

/** Names of the one mechanism, TLS (RFC 4217 8), and the protection level that the name implies (drafts of RFC 4217). */
const mechanisms: ReadonlyMap<string, 'C' | 'P'> = new Map([
  ['TLS', 'C'],
  ['TLS-C', 'C'],
  ['TLS-P', 'P'],
  ['SSL', 'P'],
]);

/** The rows of AUTH, PBSZ, PROT and CCC. */
export function securityCommands({ tls }: SecurityOptions): Command[] {
  const whereTls = (feature: string) => (): string | undefined => (tls === 'off' ? undefined : feature);
  /** A handler for a session under TLS; other sessions get `otherwise`. */
  const underTls =
    (handle: (session: Session, argument: string) => Reply, otherwise = authFirst) =>
    (session: Session, argument: string): Reply => {
      if (tls === 'off') return noTls;
      return session.tls === undefined ? otherwise : handle(session, argument);
    };
  return [
    {
      verb: 'AUTH',
      syntax: 'AUTH <SP> TLS',
      argument: 'words',
      source: 'RFC 4217 4',
      feature: whereTls('AUTH TLS'),
      access: 'anyone',
      handle: (session, argument) => {
        if (tls === 'off') return noTls;
        if (session.tls !== undefined) return reply(503, 'The control connection is under TLS already.');
        const level = mechanisms.get(argument.toUpperCase());
        if (level === undefined) return reply(504, 'The mechanism is not known; use AUTH TLS.');
        resetSession(session, level);
        session.startTlsAfterReply();
        return reply(234, 'Proceed with the TLS handshake.');
      },
    },
    {
      verb: 'PBSZ',
      syntax: 'PBSZ <SP> 0',
      argument: 'words',
      source: 'RFC 2228 3, RFC 4217 9',
      feature: whereTls('PBSZ'),
      access: 'anyone',
      handle: underTls((_session, argument) => {
        if (!/^\d{1,10}$/.test(argument)) return reply(501, 'PBSZ needs a number.');
        // TLS needs no protection buffer; RFC 2228 allows a smaller size in the reply.
        return reply(200, 'PBSZ=0');
      }),
    },
    {
      verb: 'PROT',
      syntax: 'PROT <SP> C|P',
      argument: 'words',
      source: 'RFC 2228 3, RFC 4217 9',
      feature: whereTls('PROT'),
      access: 'anyone',
      handle: underTls((session, argument) => {
        switch (argument.toUpperCase()) {
          case 'P':
            session.protectionLevel = 'P';
            return reply(200, 'Data connections are protected.');
          case 'C':
            if (tls === 'required') return reply(534, 'PROT P is required here.');
            session.protectionLevel = 'C';
            return reply(200, 'Data connections are in clear.');
          case 'S':
          case 'E':
            return reply(536, 'TLS protects wholly or not at all; use PROT P.');
          default:
            return reply(504, 'The protection level is not known; use PROT P.');
        }
      }),
    },
    {
      verb: 'CCC',
      syntax: 'CCC',
      argument: 'words',
      source: 'RFC 4217 5',
      access: 'anyone',
      handle: underTls(() => staysUnderTls, inClearAlready),
    },
  ];
}

// An attacker on the path could have sent what came in clear text (RFC 4217 15).
function resetSession(session: Session, level: 'C' | 'P'): void {
  session.logOut();
  session.protectionLevel = level;
  session.closeDataConnectionSource();
}
