/** The next data connection: PASV and EPSV lease a passive port, PORT and EPRT name a port of the client. */
import { isIPv4, isIPv6 } from 'node:net';
import { causedReply, reply, type Reply } from './reply.ts';
import type { Session } from './session.ts';
import { ActiveConnection, targetRefusal, type ActiveTarget } from '../data/active-connection.ts';
import { advertisedAddressFor, type AdvertisedAddress } from '../../net/advertised-address.ts';
import { DataConnectionError, type DataConnectionSource } from '../data/data-connection-source.ts';
import { canonicalAddress } from '../../net/ip-address.ts';
import type { PassivePorts } from '../data/passive-ports.ts';
import type { Command } from './command.ts';

export type DataConnectionOptions = {
  readonly passivePorts: PassivePorts;
  readonly advertisedAddress: AdvertisedAddress;
  readonly activeMode: 'on' | 'off';
  /** Local port of active connections; any by default. */
  readonly activeSourcePort?: number | undefined;
  /** How long the client may take to accept an active connection. */
  readonly dataConnectionTimeoutMs: number;
};

const onlyEpsv = reply(501, 'Only EPSV is allowed after EPSV ALL.');

/** The rows of PASV, EPSV, PORT and EPRT. */
export function dataConnectionCommands(options: DataConnectionOptions): Command[] {
  const { passivePorts, advertisedAddress } = options;

  /** Replaces the source that an earlier command has set up. A failed lease becomes 425. */
  async function leasePort(session: Session, replyFor: (port: number) => Reply): Promise<Reply> {
    replaceSource(session, undefined);
    try {
      const lease = await passivePorts.lease(session, session.signal);
      session.dataConnectionSource = lease;
      return replyFor(lease.port);
    } catch (error) {
      if (error instanceof DataConnectionError) return causedReply(425, error);
      throw error;
    }
  }

  function setActiveTarget(session: Session, target: ActiveTarget | undefined, verb: 'PORT' | 'EPRT'): Reply {
    if (options.activeMode === 'off')
      return reply(502, `${verb} is switched off here; use PASV or EPSV.`, 'ACTIVE-OFF');
    if (session.epsvAll) return onlyEpsv;
    if (target === undefined) return reply(501, `${verb} needs an address and a port from 1 to 65535.`);
    const refusal = targetRefusal(target, session.clientAddress);
    if (refusal !== undefined) return causedReply(501, refusal);
    const source = new ActiveConnection(target, {
      timeoutMs: options.dataConnectionTimeoutMs,
      // Behind a load balancer the reached address is not a local one.
      sourceAddress: session.reachedThroughProxy ? undefined : session.reachedAddress,
      sourcePort: options.activeSourcePort,
    });
    replaceSource(session, source);
    return reply(200, `${verb} command successful.`);
  }

  return [
    {
      verb: 'PASV',
      syntax: 'PASV',
      argument: 'words',
      source: 'RFC 959 4.1.2',
      access: 'logged-in',
      keepsPending: true,
      handle: (session) => {
        if (session.epsvAll) return onlyEpsv;
        const address = advertisedAddressFor(advertisedAddress, session.reachedAddress);
        // RFC 2428 section 3: 522 for an unsupported protocol, with the protocol to use in parentheses.
        if (address === undefined) return reply(522, 'PASV cannot carry an IPv6 address, use EPSV (2).');
        return leasePort(session, (port) => {
          const numbers = [...address.split('.'), port >> 8, port & 0xff].join(',');
          return reply(227, `Entering Passive Mode (${numbers}).`);
        });
      },
    },
    {
      verb: 'EPSV',
      syntax: 'EPSV [<SP> 1|2|ALL]',
      argument: 'words',
      source: 'RFC 2428 3',
      feature: 'EPSV',
      access: 'logged-in',
      keepsPending: true,
      handle: (session, _login, argument) => {
        const wanted = argument.toUpperCase();
        if (wanted === 'ALL') {
          session.epsvAll = true;
          return reply(200, 'EPSV ALL accepted; PASV, PORT and EPRT are refused from now on.');
        }
        if (wanted !== '' && !/^\d+$/.test(wanted)) return reply(501, 'EPSV takes nothing, 1, 2 or ALL.');
        // Data connections come from the client address of the control connection, so they use its protocol.
        const protocol = isIPv6(session.clientAddress) ? '2' : '1';
        if (wanted !== '' && wanted !== protocol) {
          return reply(522, `Network protocol not supported, use (${protocol}).`);
        }
        return leasePort(session, (port) => reply(229, `Entering Extended Passive Mode (|||${port}|)`));
      },
    },
    {
      verb: 'PORT',
      syntax: 'PORT <SP> h1,h2,h3,h4,p1,p2',
      argument: 'words',
      source: 'RFC 959 4.1.2',
      access: 'logged-in',
      keepsPending: true,
      handle: (session, _login, argument) => setActiveTarget(session, parsePort(argument), 'PORT'),
    },
    {
      verb: 'EPRT',
      syntax: 'EPRT <SP> |1|<IPv4>|<port>| or |2|<IPv6>|<port>|',
      argument: 'words',
      source: 'RFC 2428 2',
      feature: 'EPRT',
      access: 'logged-in',
      keepsPending: true,
      handle: (session, _login, argument) => {
        const parsed = parseEprt(argument);
        if (parsed === 'unknown-protocol') return reply(522, 'Network protocol not supported, use (1,2).');
        return setActiveTarget(session, parsed, 'EPRT');
      },
    },
  ];
}

function replaceSource(session: Session, source: DataConnectionSource | undefined): void {
  session.dataConnectionSource?.close();
  session.dataConnectionSource = source;
}

/** `h1,h2,h3,h4,p1,p2`, six numbers of one byte each (RFC 959 4.1.2). */
export function parsePort(argument: string): ActiveTarget | undefined {
  const numbers = argument.split(',');
  if (numbers.length !== 6 || !numbers.every((number) => /^\d{1,3}$/.test(number) && Number(number) < 256)) {
    return undefined;
  }
  const [h1 = 0, h2 = 0, h3 = 0, h4 = 0, p1 = 0, p2 = 0] = numbers.map(Number);
  const port = p1 * 256 + p2;
  return port === 0 ? undefined : { address: `${h1}.${h2}.${h3}.${h4}`, port };
}

/** `|protocol|address|port|` with any printable delimiter (RFC 2428 2). */
export function parseEprt(argument: string): ActiveTarget | 'unknown-protocol' | undefined {
  const delimiter = argument.charAt(0);
  if (!/^[\x21-\x7e]$/.test(delimiter)) return undefined;
  const [before, protocol = '', address = '', portText = '', after, ...rest] = argument.split(delimiter);
  if (before !== '' || after !== '' || rest.length > 0 || !/^\d{1,5}$/.test(portText)) return undefined;
  const port = Number(portText);
  if (port === 0 || port > 65_535) return undefined;
  if (protocol === '1') return isIPv4(address) ? { address, port } : undefined;
  if (protocol === '2') return isIPv6(address) ? { address: canonicalAddress(address), port } : undefined;
  return /^\d+$/.test(protocol) ? 'unknown-protocol' : undefined;
}
