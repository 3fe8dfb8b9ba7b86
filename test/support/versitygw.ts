/**
 * VersityGW, a production S3 server, started over TLS on a free loopback port with a certificate of its own, keeping its
 * objects in a temporary folder. An emulator's kindness must not hide a defect, so the storage tests run on this as well.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { generate } from 'selfsigned';
import { freePort } from './loopback-port.ts';

export type VersityGw = {
  readonly endpoint: string;
  /** What a process needs to use it: S3_ENDPOINT, credentials, and the certificate to trust. */
  readonly environment: Readonly<Record<string, string>>;
  /** The server's own process, for those who measure it. */
  readonly pid: number;
  close(): Promise<void>;
};

/** The program on the PATH or where `go install` puts it; undefined where it is not installed. */
export async function findVersityGw(): Promise<string | undefined> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), join(homedir(), 'go', 'bin')];
  for (const folder of folders) {
    const program = join(folder, 'versitygw');
    const found = await access(program, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return program;
  }
  return undefined;
}

/** Starts the program and resolves when it answers. Rejects with its own words where it ends instead. */
export async function startVersityGw(program: string, parentDirectory = tmpdir()): Promise<VersityGw> {
  const directory = await mkdtemp(join(parentDirectory, 'ftp-gateway-versitygw-'));
  try {
    const certificate = await writeCertificate(directory);
    // Metadata is kept in extended attributes; where the folder's file system has none, beside the objects.
    const server =
      (await launch(program, directory, certificate, [])) ??
      (await launch(program, directory, certificate, ['--sidecar', await makeFolder(directory, 'metadata')]));
    if (!server) throw new Error(`${program} ended at once; run it by hand to see why`);
    return server;
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

type Certificate = { readonly certificatePath: string; readonly keyPath: string; readonly pem: string };

async function launch(
  program: string,
  directory: string,
  { certificatePath, keyPath, pem }: Certificate,
  storageArguments: readonly string[],
): Promise<VersityGw | undefined> {
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const objects = await makeFolder(directory, 'objects');
  const serverArguments = ['--port', address, '--cert', certificatePath, '--key', keyPath, '--keep-alive'];
  const child = spawn(
    program,
    [...serverArguments, '--health', '/health', '--quiet', 'posix', ...storageArguments, objects],
    {
      stdio: 'ignore',
      env: { ...process.env, ROOT_ACCESS_KEY: 'gateway-test', ROOT_SECRET_KEY: 'gateway-test-secret' },
    },
  );
  const endpoint = `https://${address}`;
  if (!(await answers(child, `${endpoint}/health`, pem))) return undefined;
  return {
    endpoint,
    pid: child.pid ?? 0,
    environment: {
      S3_ENDPOINT: endpoint,
      S3_FORCE_PATH_STYLE: 'true',
      AWS_ACCESS_KEY_ID: 'gateway-test',
      AWS_SECRET_ACCESS_KEY: 'gateway-test-secret',
      AWS_REGION: 'us-east-1',
      NODE_EXTRA_CA_CERTS: certificatePath,
    },
    async close() {
      const exited = child.exitCode === null ? once(child, 'exit') : undefined;
      child.kill('SIGTERM');
      await exited;
      await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function writeCertificate(directory: string): Promise<Certificate> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
  });
  const [certificatePath, keyPath] = [join(directory, 'certificate.pem'), join(directory, 'key.pem')];
  await writeFile(certificatePath, cert);
  await writeFile(keyPath, key, { mode: 0o600 });
  return { certificatePath, keyPath, pem: cert };
}

// There is no event for another process's listening socket, so this asks until it answers or the process ends.
async function answers(child: ChildProcess, url: string, certificate: string): Promise<boolean> {
  const ended = new AbortController();
  child.once('exit', () => {
    ended.abort();
  });
  child.once('error', () => {
    ended.abort();
  });
  while (!ended.signal.aborted) {
    const answered = await new Promise<boolean>((resolve) => {
      const request = get(url, { ca: certificate, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      });
      request.once('error', () => {
        resolve(false);
      });
    });
    if (answered) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

async function makeFolder(directory: string, name: string): Promise<string> {
  const folder = join(directory, name);
  await mkdir(folder, { recursive: true });
  return folder;
}
