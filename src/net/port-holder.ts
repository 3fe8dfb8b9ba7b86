/**
 * What holds a local TCP port, from Linux's tables of sockets (proc_net(5), /proc/net/tcp). A port that cannot be opened is either
 * taken by a program that listens on it, or it is the local port of an outgoing connection, which the kernel picked from
 * `net.ipv4.ip_local_port_range`; such a connection holds it for another minute after its end (TIME_WAIT).
 */
import { readFile } from 'node:fs/promises';

export type PortHolder =
  | { readonly kind: 'listener' }
  /** @param remote address and port of the other end. */
  | { readonly kind: 'connection'; readonly remote: string; readonly state: string };

/** The kernel's numbers of the states of TCP (include/net/tcp_states.h). */
const states: Readonly<Record<string, string>> = {
  '01': 'ESTABLISHED',
  '02': 'SYN_SENT',
  '03': 'SYN_RECV',
  '04': 'FIN_WAIT1',
  '05': 'FIN_WAIT2',
  '06': 'TIME_WAIT',
  '07': 'CLOSE',
  '08': 'CLOSE_WAIT',
  '09': 'LAST_ACK',
  '0A': 'LISTEN',
  '0B': 'CLOSING',
};

/** What holds the port; undefined where nothing does, and on systems without these tables. */
export async function portHolder(port: number): Promise<PortHolder | undefined> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'latin1').catch(() => '')),
  );
  return holderIn(tables.join('\n'), port);
}

/** The same from the text of the tables: a listener where there is one, else any connection. Pure. */
export function holderIn(tables: string, port: number): PortHolder | undefined {
  let connection: PortHolder | undefined;
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const line of tables.split('\n')) {
    const [, local, remote = '', state = ''] = line.trim().split(/\s+/);
    if (local?.endsWith(suffix) !== true) continue;
    if (states[state] === 'LISTEN') return { kind: 'listener' };
    connection ??= { kind: 'connection', remote: addressOf(remote), state: states[state] ?? state };
  }
  return connection;
}

/** `0100007F:1F90` as `127.0.0.1:8080`: words of 32 bits in the order of this machine's bytes, which is little-endian wherever Node.js runs. */
function addressOf(hexadecimal: string): string {
  const [words = '', port = ''] = hexadecimal.split(':');
  const bytes = (words.match(/.{8}/g) ?? []).flatMap((word) => [...Buffer.from(word, 'hex')].reverse());
  const isMapped = bytes.length === 16 && Buffer.from(bytes.slice(0, 12)).toString('hex') === mappedPrefix;
  const number = parseInt(port, 16);
  if (bytes.length === 4 || isMapped) return `${bytes.slice(-4).join('.')}:${number}`;
  return `[${Buffer.from(bytes).toString('hex').match(/.{4}/g)?.join(':') ?? ''}]:${number}`;
}

/** Of an IPv4 address in IPv6 (RFC 4291, 2.5.5.2). */
const mappedPrefix = '00000000000000000000ffff';
