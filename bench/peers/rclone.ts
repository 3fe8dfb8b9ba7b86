import { execFileSync } from 'node:child_process';
import { freePort } from '../../test/support/loopback-port.ts';
import { freeRange } from './local-peers.ts';
import { startPeer, type Peer, type S3Target, type TlsFiles } from '../support/peer.ts';

/** `rclone serve ftp`, without its disk cache, as its manual advises for plain uploads and downloads. */
export async function startRclone(s3: S3Target, tls?: TlsFiles): Promise<Peer> {
  const passivePorts = await freeRange(64);
  const account = { host: '127.0.0.1', port: await freePort(), username: 'bench', password: 'bench' };
  return startPeer({
    name: 'rclone serve ftp',
    version:
      execFileSync('rclone', ['version'], { encoding: 'utf8' }).split('\n')[0]?.replace('rclone ', '') ?? '',
    program: 'rclone',
    arguments: [
      'serve',
      'ftp',
      `:s3:${s3.bucket}/rclone`,
      '--addr',
      `${account.host}:${account.port}`,
      '--passive-port',
      `${Math.min(...passivePorts)}-${Math.max(...passivePorts)}`,
      '--user',
      account.username,
      '--pass',
      account.password,
      '--vfs-cache-mode',
      'off',
      '--ca-cert',
      s3.caFile,
      '--config',
      '/dev/null',
      ...(tls ? ['--cert', tls.certificate, '--key', tls.key] : []),
    ],
    environment: {
      RCLONE_S3_PROVIDER: 'Other',
      RCLONE_S3_ENDPOINT: s3.endpoint,
      RCLONE_S3_REGION: s3.region,
      RCLONE_S3_ACCESS_KEY_ID: s3.accessKeyId,
      RCLONE_S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
      RCLONE_S3_FORCE_PATH_STYLE: 'true',
    },
    account,
  });
}
