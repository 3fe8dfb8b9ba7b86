/** The gateway over a filesystem in memory, in a process of its own: what its FTP side alone costs. Arguments: control port, passive ports. */
import { MemoryFilesystem } from '../../src/filesystem/memory-filesystem.ts';
import { startGateway } from '../../src/ftp/gateway.ts';

const [controlPort, ...passivePorts] = process.argv.slice(2).map(Number);
if (controlPort === undefined) throw new Error('which control port?');
const filesystem = new MemoryFilesystem();
const user = { name: 'bench', home: { bucket: 'bench', prefix: '' }, permissions: 'read-write' } as const;

await startGateway(
  {
    controlPort,
    passivePorts,
    idleTimeoutMs: 600_000,
    maxSessions: 20_000,
    maxSessionsPerAddress: 20_000,
    maxSessionsPerUser: 20_000,
  },
  {
    authenticate: ({ username, password }) =>
      Promise.resolve(username === 'bench' && password === 'bench' ? user : 'LOGIN-PASSWORD'),
    filesystemFor: () => filesystem,
  },
);
