/**
 * The floor: what Node itself costs between a TCP socket and S3 over HTTPS, with nothing in between. A connection to the
 * first port is stored as one object of the announced size, a connection to the second port is sent that object.
 * Arguments: port, second port, bucket, endpoint, size in bytes. Credentials by the environment.
 */
import { createServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Readable } from 'node:stream';
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { createS3Client } from '../../src/s3/client/s3-client.ts';

const [storePort = '', retrievePort = '', bucket = '', endpoint = '', sizeBytes = ''] = process.argv.slice(2);
const client = createS3Client({
  endpoint,
  forcePathStyle: true,
  region: process.env['AWS_REGION'] ?? 'us-east-1',
});
const object = { Bucket: bucket, Key: 'pipe/large.bin' };

async function store(socket: Socket): Promise<void> {
  await client.send(new PutObjectCommand({ ...object, Body: socket, ContentLength: Number(sizeBytes) }));
  socket.end('stored');
}

async function retrieve(socket: Socket): Promise<void> {
  const { Body } = await client.send(new GetObjectCommand(object));
  await pipeline(Body as Readable, socket);
}

function serve(port: string, work: (socket: Socket) => Promise<void>): void {
  createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    work(socket).catch((error: unknown) => socket.destroy(error as Error));
  }).listen(Number(port), '127.0.0.1');
}

serve(storePort, store);
serve(retrievePort, retrieve);
