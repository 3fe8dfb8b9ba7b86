/**
 * ftp-srv as it comes, with this project's S3 filesystem behind it; run as a process of its own by `stock-ftp-srv.ts`.
 * Arguments: port, bucket, endpoint. Credentials by the environment.
 */
import { FtpSrv } from 'ftp-srv';
import { S3Filesystem } from '../../src/s3/filesystem/s3-filesystem.ts';
import { FtpSrvFileSystem } from '../../src/ftp/ftp-srv/file-system.ts';
import { createS3Client } from '../../src/s3/client/s3-client.ts';
import { S3Storage } from '../../src/s3/s3-storage.ts';
import { TransferMemory } from '../../src/s3/transfer-memory.ts';

const [port = '', bucket = '', endpoint = ''] = process.argv.slice(2);
const storage = new S3Storage({
  client: createS3Client({
    endpoint,
    forcePathStyle: true,
    region: process.env['AWS_REGION'] ?? 'us-east-1',
  }),
  memory: new TransferMemory(256 * 1024 * 1024),
  observe: () => undefined,
});
const server = new FtpSrv({
  url: `ftp://127.0.0.1:${port}`,
  pasv_url: '127.0.0.1',
  pasv_min: 51100,
  pasv_max: 51199,
});
server.on('login', ({ connection }, resolve) => {
  const filesystem = new S3Filesystem(storage, { bucket, prefix: 'stock/' });
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- it only calls the methods
  resolve({ fs: new FtpSrvFileSystem(filesystem, connection) });
});
await server.listen();
