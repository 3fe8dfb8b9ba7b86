import { execFileSync } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../test/support/loopback-port.ts';
import { startPeer, type Peer, type S3Target, type TlsFiles } from '../support/peer.ts';

/**
 * SFTPGo in portable mode: one user on S3, its defaults for part size and concurrency. It has no option for one more
 * certificate to trust, so it trusts any here; that saves it the check and costs it nothing.
 */
export async function startSftpgo(s3: S3Target, tls?: TlsFiles): Promise<Peer> {
  const account = { host: '127.0.0.1', port: await freePort(), username: 'bench', password: 'bench' };
  const folder = await mkdtemp(join(tmpdir(), 'sftpgo-'));
  const version = execFileSync('sftpgo', ['--version'], { encoding: 'utf8' });
  return startPeer({
    name: 'SFTPGo',
    version: /\d+\.\d+\.\d+/.exec(version)?.[0] ?? version.trim(),
    program: 'sftpgo',
    arguments: [
      'portable',
      '--config-dir',
      folder,
      '--directory',
      folder,
      '--log-file-path',
      '',
      '--sftpd-port',
      '-1',
      '--ftpd-port',
      String(account.port),
      '--username',
      account.username,
      '--password',
      account.password,
      '--permissions',
      '*',
      '--fs-provider',
      's3fs',
      '--s3-bucket',
      s3.bucket,
      '--s3-key-prefix',
      'sftpgo/',
      '--s3-region',
      s3.region,
      '--s3-endpoint',
      s3.endpoint,
      '--s3-force-path-style',
      '--s3-skip-tls-verify',
      '--s3-access-key',
      s3.accessKeyId,
      '--s3-access-secret',
      s3.secretAccessKey,
      ...(tls ? ['--ftpd-cert', tls.certificate, '--ftpd-key', tls.key] : []),
    ],
    // By default 20 connections of one address, and clients here have one.
    environment: { SFTPGO_COMMON__MAX_PER_HOST_CONNECTIONS: '0' },
    account,
  });
}
