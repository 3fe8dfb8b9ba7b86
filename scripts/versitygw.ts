/**
 * VersityGW, a production S3 server on a local folder, over TLS on loopback: what the suites and the benchmarks run
 * against when an emulator's kindness must not hide a defect.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { generate } from 'selfsigned';
import { endChild, freePort, portAnswers } from './loopback-port.ts';

export type Versitygw = {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** PEM file of its self-signed certificate, for NODE_EXTRA_CA_CERTS. */
  readonly caFile: string;
  readonly pid: number;
  /** Variables that point the AWS SDK of a child process at it. */
  readonly environment: Readonly<Record<string, string>>;
  /** Ends it and removes its folder. */
  stop(): Promise<void>;
};

const installation = 'go install github.com/versity/versitygw/cmd/versitygw@v1.8.0';

/** Starts it on a free port and waits until it answers. Throws a sentence that says how to install it where it is missing. */
export async function startVersitygw(): Promise<Versitygw> {
  const environment = {
    ...process.env,
    PATH: `${process.env['PATH'] ?? ''}${delimiter}${join(homedir(), 'go', 'bin')}`,
  };
  checkInstalled(environment);
  const folder = await mkdtemp(join(tmpdir(), 'versitygw-'));
  const caFile = join(folder, 'certificate.pem');
  const keyFile = join(folder, 'key.pem');
  const objects = join(folder, 'objects');
  await mkdir(objects);
  await writeCertificate(caFile, keyFile);

  const port = await freePort();
  const credentials = { accessKeyId: 'versity-access', secretAccessKey: 'versity-secret' };
  const { accessKeyId, secretAccessKey } = credentials;
  const region = 'us-east-1';
  const child = spawn(
    'versitygw',
    [
      ...['--port', `127.0.0.1:${port}`, '--cert', caFile, '--key', keyFile, '--region', region, '--quiet'],
      ...['--access', accessKeyId, '--secret', secretAccessKey, 'posix', objects],
    ],
    { env: environment, stdio: 'ignore' },
  );
  await portAnswers(port, child);

  const endpoint = `https://127.0.0.1:${port}`;
  return {
    endpoint,
    region,
    ...credentials,
    caFile,
    pid: child.pid ?? 0,
    environment: {
      S3_ENDPOINT: endpoint,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      NODE_EXTRA_CA_CERTS: caFile,
    },
    async stop() {
      await endChild(child);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

function checkInstalled(env: NodeJS.ProcessEnv): void {
  try {
    execFileSync('versitygw', ['--version'], { env, stdio: 'ignore' });
  } catch (cause) {
    throw new Error(`VersityGW is not installed; install it with: ${installation}`, { cause });
  }
}

async function writeCertificate(certificateFile: string, keyFile: string): Promise<void> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    extensions: [
      { name: 'basicConstraints', cA: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  });
  await writeFile(certificateFile, cert);
  await writeFile(keyFile, key, { mode: 0o600 });
}
