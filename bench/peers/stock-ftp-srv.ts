import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../test/support/loopback-port.ts';
import { startPeer, type Peer, type S3Target } from '../support/peer.ts';

const server = fileURLToPath(new URL('stock-ftp-srv-server.ts', import.meta.url));

/** ftp-srv without any of the gateway's own parts but the filesystem. */
export async function startStockFtpSrv(s3: S3Target): Promise<Peer> {
  const account = { host: '127.0.0.1', port: await freePort(), username: 'bench', password: 'bench' };
  const manifest = createRequire(import.meta.url).resolve('ftp-srv/package.json');
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string };
  return startPeer({
    name: 'stock ftp-srv',
    version,
    program: process.execPath,
    arguments: [server, String(account.port), s3.bucket, s3.endpoint],
    environment: {
      AWS_REGION: s3.region,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
      NODE_EXTRA_CA_CERTS: s3.caFile,
    },
    account,
  });
}
