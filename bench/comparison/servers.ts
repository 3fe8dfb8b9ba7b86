/** The servers of the comparison: how each is started, and where its files are. */
import { dirname, join } from 'node:path';
import { startProftpd, startVsftpd } from '../peers/disk-servers.ts';
import { startGatewayPeer } from '../peers/gateway.ts';
import { startRclone } from '../peers/rclone.ts';
import { startSftpgo } from '../peers/sftpgo.ts';
import { startStockFtpSrv } from '../peers/stock-ftp-srv.ts';
import type { Peer, S3Target, TlsFiles } from '../support/peer.ts';

export type Mode = 'clear' | 'FTPS';

export type ComparedServer = {
  readonly id: string;
  readonly name: string;
  /** What stores its files: servers on a disk are not rivals, but show what is possible without S3. */
  readonly storage: 'S3' | 'disk';
  /** Settings that differ from its defaults, for the document. */
  readonly settings: string;
  /** How it offers FTPS. `control only`: implicit, with data connections in clear, so that its transfers compare with nothing. */
  readonly ftps: 'explicit' | 'control only' | 'none';
  /** A share of the files that others move, for servers that would take minutes. */
  readonly share: number;
  /** Starts it with an empty process. */
  start(mode: Mode): Promise<Peer>;
  /** The file that holds what a client stored. */
  storedFile(directory: string, name: string): string;
};

export type ServerOptions = {
  readonly s3: S3Target;
  /** For servers on a disk. */
  readonly folder: string;
  /** Another checkout of the gateway, with dependencies installed. */
  readonly baseline: string | undefined;
};

export function comparedServers({ s3, folder, baseline }: ServerOptions): ComparedServer[] {
  const tls: TlsFiles = { certificate: s3.caFile, key: join(dirname(s3.caFile), 'key.pem') };
  const tlsOf = (mode: Mode): TlsFiles | undefined => (mode === 'FTPS' ? tls : undefined);
  // VersityGW keeps each object as a file.
  const objectOf =
    (prefix: string) =>
    (directory: string, name: string): string =>
      join(dirname(s3.caFile), 'objects', s3.bucket, prefix, directory, name);
  const gateway = (id: string, name: string, workers: number, checkout?: string): ComparedServer => ({
    id,
    name,
    storage: 'S3',
    settings: `\`WORKERS=${workers}\``,
    ftps: 'explicit',
    share: 1,
    start: (mode) =>
      startGatewayPeer(
        s3,
        {
          WORKERS: String(workers),
          ...(mode === 'FTPS' && { TLS: 'required', TLS_CERTIFICATE: `file:${tls.certificate},${tls.key}` }),
        },
        { name, ...(checkout !== undefined && { checkout }) },
      ),
    storedFile: objectOf(name.replaceAll(' ', '-')),
  });
  return [
    gateway('gateway', 'this gateway', 1),
    gateway('gateway-2', 'with 2 workers', 2),
    ...(baseline === undefined ? [] : [gateway('baseline', 'baseline', 1, baseline)]),
    {
      id: 'sftpgo',
      name: 'SFTPGo',
      storage: 'S3',
      settings:
        'portable mode; no limit of connections for each address; trusts any certificate of the S3 server',
      ftps: 'explicit',
      share: 1,
      start: (mode) => startSftpgo(s3, tlsOf(mode)),
      storedFile: objectOf('sftpgo'),
    },
    {
      id: 'rclone',
      name: 'rclone serve ftp',
      storage: 'S3',
      settings:
        '`--vfs-cache-mode off`, 64 passive ports; its FTPS is implicit, refuses PBSZ and PROT, and leaves data connections in clear, so only its logins are measured',
      ftps: 'control only',
      share: 1,
      start: (mode) => startRclone(s3, tlsOf(mode)),
      storedFile: objectOf('rclone'),
    },
    {
      id: 'stock',
      name: 'stock ftp-srv',
      storage: 'S3',
      settings: "the npm package with this gateway's filesystem; no FTPS",
      ftps: 'none',
      share: 0.1,
      start: () => startStockFtpSrv(s3),
      storedFile: objectOf('stock'),
    },
    {
      id: 'vsftpd',
      name: 'vsftpd, disk',
      storage: 'disk',
      settings: 'files in memory (tmpfs), anonymous logins, `require_ssl_reuse=NO`',
      ftps: 'explicit',
      share: 1,
      start: (mode) => startVsftpd(join(folder, 'vsftpd'), tlsOf(mode)),
      storedFile: (directory, name) => join(folder, 'vsftpd', directory, name),
    },
    {
      id: 'proftpd',
      name: 'ProFTPD, disk',
      storage: 'disk',
      settings: 'files in memory (tmpfs), users in a file, `NoSessionReuseRequired`',
      ftps: 'explicit',
      share: 1,
      start: (mode) => startProftpd(join(folder, 'proftpd'), tlsOf(mode)),
      storedFile: (directory, name) => join(folder, 'proftpd', directory, name),
    },
  ];
}
