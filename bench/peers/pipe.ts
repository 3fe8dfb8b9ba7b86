import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { measureUsage } from '../support/process-usage.ts';
import { largeFigures, type LargeFigures } from '../support/transfers.ts';
import { freePort } from '../../test/support/loopback-port.ts';
import { startPeer, type S3Target } from '../support/peer.ts';

const server = fileURLToPath(new URL('pipe-server.ts', import.meta.url));
const gibibyte = 1024 ** 3;

/** The same large file through a bare pipe between socket and HTTPS: no FTP, no parts, no checksums. */
export async function measurePipe(s3: S3Target, sizeBytes = gibibyte): Promise<LargeFigures> {
  const storePort = await freePort();
  const retrievePort = await freePort();
  const pipe = await startPeer({
    name: 'pipe',
    version: process.version,
    program: process.execPath,
    arguments: [server, String(storePort), String(retrievePort), s3.bucket, s3.endpoint, String(sizeBytes)],
    environment: {
      AWS_REGION: s3.region,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
      NODE_EXTRA_CA_CERTS: s3.caFile,
    },
    // The second port answers only after the first one does, and no object is begun by asking for it.
    account: { host: '127.0.0.1', port: retrievePort, username: '', password: '' },
  });
  try {
    const stor = await measureUsage(pipe.pid, () => send(storePort, sizeBytes));
    const retr = await measureUsage(pipe.pid, () => receive(retrievePort, sizeBytes));
    return largeFigures(stor, retr, sizeBytes);
  } finally {
    await pipe.stop();
  }
}

async function send(port: number, sizeBytes: number): Promise<void> {
  const block = Buffer.alloc(1024 * 1024, 'large file ');
  const socket = connect({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  const confirmed = once(socket, 'data');
  for (let sent = 0; sent < sizeBytes; sent += block.length) {
    if (!socket.write(block) && sent + block.length < sizeBytes) await once(socket, 'drain');
  }
  socket.end();
  await confirmed;
  socket.destroy();
}

async function receive(port: number, sizeBytes: number): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  let receivedBytes = 0;
  socket.on('data', (bytes) => (receivedBytes += bytes.length));
  await once(socket, 'end');
  socket.destroy();
  if (receivedBytes !== sizeBytes) throw new Error(`the pipe sent ${receivedBytes} of ${sizeBytes} bytes`);
}
