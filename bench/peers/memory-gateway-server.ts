/** The gateway over a filesystem in memory, in a process of its own: what its FTP side alone costs. Arguments: control port, passive ports. */
import { MemoryFilesystem } from '../../src/filesystem/memory-filesystem.ts';
import { startGateway } from '../../src/ftp/gateway.ts';

const [controlPort, ...passivePorts] = process.argv.slice(2).map(Number);
if (controlPort === undefined) throw new Error('which control port?');
const filesystem = new MemoryFilesystem();
const user = { name: 'bench', home: { bucket: 'bench', prefix: '' }, permissions: 'read-write' } as const;

await startGateway(
  {
    listenAddress: '0.0.0.0',
    controlPort,
    passivePorts,
    advertisedAddress: { kind: 'auto' },
    proxyProtocol: 'off',
    tls: 'off',
    tlsMinVersion: 'TLSv1.2',
    tlsDataResumption: 'optional',
    filenameEncoding: 'utf-8',
    pathnameBackslash: 'literal',
    activeMode: 'on',
    fileTimes: 'upload',
    loginTimeoutMs: 60_000,
    idleTimeoutMs: 600_000,
    dataConnectionTimeoutMs: 30_000,
    passivePortWaitMs: 10_000,
    stallTimeoutMs: 300_000,
    maxSessions: 20_000,
    maxSessionsPerAddress: 20_000,
    maxSessionsPerUser: 20_000,
    maxLoginAttempts: 3,
    maxLoginFailures: 20,
    loginLockoutMs: 300_000,
  },
  {
    authenticate: ({ username, password }) =>
      Promise.resolve(username === 'bench' && password === 'bench' ? user : undefined),
    filesystemFor: () => filesystem,
    observe: () => undefined,
  },
);
