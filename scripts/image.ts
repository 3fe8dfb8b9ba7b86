/**
 * Builds the container image without a registry or a Docker daemon, runs it as Fargate would (not root, no capabilities,
 * read-only), and moves a file through it. Needs root and Debian's buildah, debootstrap and curl.
 * Usage: npm run image. Stands in for the two base images with a debootstrapped Debian 12 and this package's own Node.
 */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startLocalS3 } from '../dev/s3-server.ts';
import { PasswordHash } from '../src/users/password.ts';
import { freePort, freeRange } from '../test/support/loopback-port.ts';
import { startSecretsManager } from '../test/system/topology/secrets-manager.ts';
import { FtpSession, type SessionOptions } from './ftp-session.ts';

const repository = fileURLToPath(new URL('..', import.meta.url));
const image = 'ftp-object-gateway:latest';
const usersArn = 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:users-AbCdEf';
const work = mkdtempSync(join(tmpdir(), 'ftp-gateway-image-'));
const storage = ['--root', join(work, 'storage'), '--runroot', join(work, 'run'), '--storage-driver', 'vfs'];

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Runs a program to its end, shows what it prints, and fails with it. */
function run(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: 'inherit', cwd: repository });
}

function capture(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', cwd: repository }).trim();
}

function requirePrograms(...programs: readonly string[]): void {
  const missing = programs.filter((program) => spawnSync('which', [program]).status !== 0);
  if (missing.length > 0)
    throw new Error(`Install ${missing.join(', ')} first: apt-get install ${missing.join(' ')}`);
  if (process.getuid?.() !== 0)
    throw new Error('debootstrap and the chroot need root: run it as root, as CI does.');
}

/** The names of the base images, as the Dockerfile gives them. */
function baseImages(): { readonly node: string; readonly runtime: string } {
  const dockerfile = readFileSync(join(repository, 'Dockerfile'), 'utf8');
  const argument = (name: string) => {
    const value = new RegExp(`^ARG ${name}=(\\S+)$`, 'm').exec(dockerfile)?.[1];
    if (value === undefined) throw new Error(`The Dockerfile has no ARG ${name}.`);
    return value;
  };
  return { node: argument('NODE_IMAGE'), runtime: argument('RUNTIME_IMAGE') };
}

function commit(folder: string, name: string): void {
  const container = capture('buildah', ...storage, 'from', 'scratch');
  run('buildah', ...storage, 'copy', '--quiet', container, folder, '/');
  run('buildah', ...storage, 'commit', '--quiet', '--rm', container, name);
}

/** Debian 12 with Node and npm, in place of the official Node image. */
function makeNodeBase(name: string): string {
  const root = join(work, 'debian');
  run('debootstrap', '--variant=minbase', 'bookworm', root, 'http://deb.debian.org/debian');
  const local = join(root, 'usr/local');
  cpSync(realpathSync(process.execPath), join(local, 'bin/node'));
  const npm = dirname(dirname(realpathSync(capture('which', 'npm'))));
  cpSync(npm, join(local, 'lib/node_modules/npm'), { recursive: true, dereference: true });
  writeFileSync(
    join(local, 'bin/npm'),
    '#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n',
  );
  chmodSync(join(local, 'bin/npm'), 0o755);
  trustWhatThisMachineTrusts(root);
  commit(root, name);
  return root;
}

/** Where Debian keeps every certificate that the machine trusts. */
const machineCertificates = '/etc/ssl/certs/ca-certificates.crt';

// A machine that reaches the npm registry through a proxy of its own trusts that proxy's certificate; the build must too.
function trustWhatThisMachineTrusts(root: string): void {
  const certificates = process.env['NODE_EXTRA_CA_CERTS'] ?? machineCertificates;
  if (!existsSync(certificates)) return;
  cpSync(realpathSync(certificates), join(root, 'etc/npm-ca.pem'));
  writeFileSync(join(root, 'usr/local/lib/node_modules/npm/npmrc'), 'cafile=/etc/npm-ca.pem\n');
}

/** The C and C++ libraries and nothing else, in place of distroless/cc: no shell, no package manager. */
function makeRuntimeBase(name: string, debian: string): void {
  const root = join(debian, 'runtime');
  const libraries = [...capture('chroot', debian, 'ldd', '/usr/local/bin/node').matchAll(/(\/\S+) \(0x/g)];
  mkdirSync(root);
  // Inside the chroot, so that links to absolute paths are followed there and not on this machine.
  run(
    'chroot',
    debian,
    'cp',
    '--dereference',
    '--parents',
    ...libraries.map(([, path = '']) => path),
    '/runtime',
  );
  for (const folder of ['tmp', 'proc', 'dev', 'etc']) mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, 'etc/passwd'), 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n');
  writeFileSync(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n');
  commit(root, name);
}

function build(): void {
  run(
    'buildah',
    ...storage,
    'build',
    '--isolation',
    'chroot',
    '--pull-never',
    '--format',
    'docker',
    '--layers=false',
    '--build-arg',
    `REVISION=${capture('git', 'rev-parse', 'HEAD')}`,
    '--tag',
    image,
    repository,
  );
}

type ImageConfig = {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Cmd: readonly string[];
  readonly WorkingDir: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly Healthcheck: { readonly Test: readonly string[] };
};

type Inspected = { readonly Docker: { readonly config: ImageConfig } };

/** The image's file system, and what the image says about how it is run. */
type MountedImage = { readonly root: string; readonly config: ImageConfig };

function mount(): MountedImage {
  const container = capture('buildah', ...storage, 'from', '--pull-never', image);
  const { Docker } = JSON.parse(capture('buildah', ...storage, 'inspect', container)) as Inspected;
  return { root: capture('buildah', ...storage, 'mount', container), config: Docker.config };
}

/** A command inside the image's file system: read-only, as the image's user, without capabilities. */
function inside(
  { root, config }: MountedImage,
  command: readonly string[],
  environment: readonly string[],
): ChildProcess {
  const script = [
    'mount --bind "$ROOT" "$ROOT"',
    'mount -t proc proc "$ROOT/proc"',
    // The devices that every container runtime supplies (OCI runtime specification, "Default Devices").
    'mount -t tmpfs -o mode=755 tmpfs "$ROOT/dev"',
    'for device in null zero full random urandom; do touch "$ROOT/dev/$device" && mount --bind "/dev/$device" "$ROOT/dev/$device"; done',
    'mount -o remount,ro,bind "$ROOT"',
    // The only capabilities left are those it takes to become the user; with the user they go.
    'exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid chroot --groups= --userspec="$RUN_AS" "$ROOT" "$@"',
  ].join(' && ');
  const pairs = [...config.Env, ...environment].map(
    (pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string],
  );
  return spawn('unshare', ['--mount', 'sh', '-ec', script, 'sh', ...command], {
    env: { PATH: process.env['PATH'], ...Object.fromEntries(pairs), ROOT: root, RUN_AS: config.User },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

async function healthy(mounted: MountedImage, environment: readonly string[]): Promise<boolean> {
  const [kind, ...command] = mounted.config.Healthcheck.Test;
  if (kind !== 'CMD') throw new Error(`The image's HEALTHCHECK is ${kind ?? 'missing'}, and no command.`);
  const [code] = (await once(inside(mounted, command, environment), 'exit')) as [number];
  return code === 0;
}

/** Milliseconds from the start of the process to its first 200 on the path. */
async function timeToAnswer(path: string, port: number, child: ChildProcess): Promise<number> {
  const begun = performance.now();
  for (;;) {
    if (child.exitCode !== null)
      throw new Error(`The gateway ended with ${child.exitCode} before ${path} returned 200.`);
    const answer = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
    if (answer?.ok === true) return performance.now() - begun;
    if (performance.now() - begun > 20_000) throw new Error(`${path} did not return 200 within 20 seconds.`);
    await sleep(5);
  }
}

function checkPrivileges(child: ChildProcess): void {
  const lines = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  const value = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(lines)?.[1];
  if (
    value('Uid') !== '10001' ||
    !/^0+$/.test(value('CapEff') ?? '') ||
    !/^0+$/.test(value('CapPrm') ?? '')
  ) {
    throw new Error(`The gateway runs with too much: uid ${value('Uid')}, capabilities ${value('CapEff')}.`);
  }
}

/** Not with `run`, which would stop the S3 server of this very process while it waits. */
async function runCurl(...args: readonly string[]): Promise<void> {
  const [code] = (await once(spawn('curl', args, { stdio: 'inherit' }), 'exit')) as [number];
  if (code !== 0) throw new Error(`curl ended with ${code}.`);
}

/** A file of this size is hashed by a thread, whose code is a file of its own beside the bundle. */
async function compareHash(options: SessionOptions, sent: string): Promise<void> {
  const session = await FtpSession.open(options);
  const reply = await session.command('HASH folder/file.bin', 213);
  await session.quit();
  const expected = createHash('sha256').update(readFileSync(sent)).digest('hex');
  if (!reply.toLowerCase().includes(expected))
    throw new Error(`HASH returned ${reply}, and not ${expected}.`);
  say('HASH returned its SHA-256 digest');
}

function workerProcesses({ pid }: ChildProcess): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return children === '' ? 0 : children.split(' ').length;
}

/** Starts the image with so many worker processes, moves a file through it, has one hashed, and stops it. */
async function moveFile(mounted: MountedImage, workers: number): Promise<void> {
  const secretsManager = await startSecretsManager();
  const s3 = await startLocalS3({ directory: join(work, `s3-${workers}`), buckets: ['files'], port: 0 });
  const password = randomBytes(12).toString('hex');
  const user = { name: 'partner', password: await PasswordHash.create(password), permissions: 'read-write' };
  secretsManager.secrets.set(usersArn, JSON.stringify({ users: [user] }));
  const [controlPort, operationsPort] = [await freePort(), await freePort()];
  const environment = [
    `USERS=secretsmanager:${usersArn}`,
    `AWS_ENDPOINT_URL_SECRETS_MANAGER=${secretsManager.endpoint}`,
    `S3_ENDPOINT=${s3.endpoint}`,
    'S3_FORCE_PATH_STYLE=true',
    'S3_BUCKET=files',
    `AWS_ACCESS_KEY_ID=${s3.credentials.accessKeyId}`,
    `AWS_SECRET_ACCESS_KEY=${s3.credentials.secretAccessKey}`,
    'AWS_REGION=eu-central-1',
    'LISTEN_ADDRESS=127.0.0.1',
    'OPERATIONS_ADDRESS=127.0.0.1',
    `CONTROL_PORT=${controlPort}`,
    `OPERATIONS_PORT=${operationsPort}`,
    `WORKERS=${workers}`,
    `PASSIVE_PORTS=${String(await freeRange(2 * workers))}`,
  ];
  const gateway = inside(mounted, mounted.config.Cmd, environment);
  const exited = once(gateway, 'exit') as Promise<[number | null, string | null]>;
  try {
    const milliseconds = await timeToAnswer('/healthz', operationsPort, gateway);
    say(
      `healthy after ${milliseconds.toFixed(0)} ms (from the start of the process, Node's own start included)`,
    );
    // The primary is healthy before its workers accept sessions.
    await timeToAnswer('/readyz', operationsPort, gateway);
    checkPrivileges(gateway);
    if (!(await healthy(mounted, environment)))
      throw new Error("The image's HEALTHCHECK fails on a healthy gateway.");
    const sent = join(work, 'sent');
    const received = join(work, 'received');
    writeFileSync(sent, randomBytes(20 * 1024 * 1024));
    const url = `ftp://127.0.0.1:${controlPort}/folder/file.bin`;
    const curl = ['--silent', '--show-error', '--fail', '--user', `partner:${password}`, '--ftp-create-dirs'];
    await runCurl(...curl, '--upload-file', sent, url);
    await runCurl(...curl, '--output', received, url);
    if (!readFileSync(sent).equals(readFileSync(received))) throw new Error('The file came back changed.');
    say('a file of 20 MiB went up and came back the same');
    await compareHash(
      { host: '127.0.0.1', port: controlPort, username: 'partner', password, tls: false },
      sent,
    );
    const running = workerProcesses(gateway);
    if (running !== (workers === 1 ? 0 : workers)) {
      throw new Error(`WORKERS is ${workers}, and the gateway runs ${running} worker processes.`);
    }
    gateway.kill('SIGTERM');
    const [code, signal] = await exited;
    if (code !== 0)
      throw new Error(`After SIGTERM the gateway ended with ${code ?? signal ?? ''} and not with 0.`);
    say('SIGTERM ended it with 0');
    if (await healthy(mounted, environment))
      throw new Error('HEALTHCHECK says healthy with nothing running.');
  } finally {
    if (gateway.exitCode === null) gateway.kill('SIGKILL');
    await Promise.all([s3.close(), secretsManager.close()]);
  }
}

function report({ root, config }: MountedImage): void {
  const mebibytes = (path: string) =>
    `${(Number(capture('du', '-sb', path).split('\t')[0]) / 1024 / 1024).toFixed(1)} MiB`;
  say(
    `image: ${mebibytes(root)}, of which node ${mebibytes(join(root, 'usr/local/bin/node'))}, gateway ${mebibytes(join(root, 'gateway'))}`,
  );
  for (const [name, value] of Object.entries(config.Labels)) say(`  ${name}=${value}`);
  if (config.User !== '10001:10001')
    throw new Error(`The image runs as ${config.User} and not as 10001:10001.`);
  for (const shell of ['bin/sh', 'usr/bin/sh', 'usr/local/bin/npm', 'gateway/node_modules']) {
    if (existsSync(join(root, shell))) throw new Error(`The image holds /${shell}.`);
  }
}

requirePrograms('buildah', 'debootstrap', 'curl', 'setpriv', 'unshare');
try {
  const bases = baseImages();
  say(`=== Base images: ${bases.node} and ${bases.runtime}, stood in for by Debian 12`);
  makeRuntimeBase(bases.runtime, makeNodeBase(bases.node));
  say('=== Image');
  build();
  const mounted = mount();
  report(mounted);
  for (const workers of [1, 2]) {
    say(`=== Run with WORKERS=${workers}`);
    await moveFile(mounted, workers);
  }
} finally {
  spawnSync('buildah', [...storage, 'rm', '--all'], { stdio: 'ignore' });
  rmSync(work, { recursive: true, force: true });
}
