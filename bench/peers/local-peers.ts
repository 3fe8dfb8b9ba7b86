/** Servers without S3 behind them, for figures of the FTP side alone: the gateway in memory, the others on a folder. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../test/support/loopback-port.ts';
import { startPeer, type Peer } from '../support/peer.ts';

/** Python with pyftpdlib installed (`pip install pyftpdlib`). */
const python = process.env['PYTHON'] ?? 'python3';

function fileOf(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

async function account(): Promise<Peer['account']> {
  return { host: '127.0.0.1', port: await freePort(), username: 'bench', password: 'bench' };
}

export async function startMemoryGateway(passivePorts: readonly number[]): Promise<Peer> {
  const bench = await account();
  return startPeer({
    name: 'gateway, in memory',
    version: 'this tree',
    program: process.execPath,
    arguments: [fileOf('memory-gateway-server.ts'), String(bench.port), ...passivePorts.map(String)],
    environment: {},
    account: bench,
  });
}

export async function startPyftpdlib(passivePorts: readonly number[], folder: string): Promise<Peer> {
  const bench = await account();
  return startPeer({
    name: 'pyftpdlib',
    version: execFileSync(python, ['-c', 'import pyftpdlib; print(pyftpdlib.__ver__)'], {
      encoding: 'utf8',
    }).trim(),
    program: python,
    arguments: [fileOf('pyftpdlib_server.py'), String(bench.port), folder, ...passivePorts.map(String)],
    environment: {},
    account: bench,
  });
}

export async function startStockOnDisk(passivePorts: readonly number[], folder: string): Promise<Peer> {
  const bench = await account();
  const manifest = createRequire(import.meta.url).resolve('ftp-srv/package.json');
  return startPeer({
    name: 'stock ftp-srv',
    version: (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version,
    program: process.execPath,
    arguments: [
      fileOf('stock-disk-server.ts'),
      String(bench.port),
      folder,
      String(Math.min(...passivePorts)),
      String(Math.max(...passivePorts)),
    ],
    environment: {},
    account: bench,
  });
}

/** Starts what can be started; what cannot is named and left out. */
export async function startWhatIsThere(starters: readonly (() => Promise<Peer>)[]): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (const start of starters) {
    try {
      peers.push(await start());
    } catch (error) {
      console.log(`Left out: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return peers;
}

/** Ports next to each other, free a moment ago, below those that the kernel gives to outgoing connections. */
export async function freeRange(count: number): Promise<number[]> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const ports = Array.from({ length: count }, (_, index) => first + index);
    const isFree = await Promise.all(ports.map(canListen));
    if (!isFree.includes(false)) return ports;
  }
  throw new Error(`no ${count} free ports next to each other`);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '0.0.0.0', () => server.close(() => resolve(true)));
  });
}
