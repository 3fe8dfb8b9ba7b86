/** The package as those who install it get it: packed, unpacked into a project of its own, imported, synthesised, compiled. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PassThrough, Readable } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { Client } from 'basic-ftp';
import { startS3Server } from '../../support/s3-server.ts';

type PackageJson = { readonly name: string; readonly exports: Readonly<Record<string, unknown>> };
type Assets = {
  readonly dockerImages: Readonly<Record<string, { readonly source: { readonly directory: string } }>>;
};

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const tsc = fileURLToPath(import.meta.resolve('typescript/bin/tsc'));

describe('The package', () => {
  const work = mkdtempSync(join(tmpdir(), 'ftp-gateway-package-'));
  const project = join(work, 'project');
  const installed = join(project, 'node_modules/ftp-object-gateway');
  let manifest: PackageJson;
  let files: readonly string[];

  before(() => {
    execFileSync('npm', ['pack', '--silent', '--pack-destination', work], { cwd: repository, stdio: 'pipe' });
    const packed = readdirSync(work).find((name) => name.endsWith('.tgz'));
    assert.ok(packed !== undefined);
    mkdirSync(installed, { recursive: true });
    execFileSync('tar', ['-xzf', join(work, packed), '-C', installed, '--strip-components=1']);
    // A folder up, so that only the package itself is found inside the project.
    symlinkSync(join(repository, 'node_modules'), join(work, 'node_modules'));
    writeFileSync(join(project, 'package.json'), '{"type":"module"}');
    manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as PackageJson;
    files = readdirSync(installed, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1));
  });
  after(() => {
    rmSync(work, { recursive: true, force: true });
  });

  function runNode(args: readonly string[], environment: Readonly<Record<string, string>> = {}): string {
    return execFileSync(process.execPath, args, {
      cwd: project,
      encoding: 'utf8',
      env: { ...process.env, ...environment },
    });
  }

  it('Plain JavaScript can import everything that the package exports', () => {
    const names = Object.keys(manifest.exports).map((path) => path.replace('.', manifest.name));
    assert.ok(names.length > 0);
    const imports = names.map((name) => `Object.keys(await import(${JSON.stringify(name)}))`).join(', ');
    writeFileSync(join(project, 'imports.js'), `console.log(JSON.stringify([${imports}].flat()));`);
    const exported = JSON.parse(runNode(['imports.js'])) as string[];
    for (const name of [
      'FtpGateway',
      'PassivePortRange',
      'parseDeployedPlan',
      'S3Filesystem',
      'S3Storage',
      'FtpSrvFileSystem',
      'createS3Client',
      'TransferMemory',
      'startGateway',
    ]) {
      assert.ok(exported.includes(name), name);
    }
  });

  it('The package contains no tests, no sources and nothing private', () => {
    const strangers = files.filter(
      (path) =>
        !/^(package\.json|README\.md|LICENSE|CHANGELOG\.md|dist\/(Dockerfile|\.dockerignore))$/.test(path) &&
        !/^dist\/(lib|src)\/.+(\.js|\.d\.ts)$/.test(path) &&
        !/^dist\/lib\/lambda\/[a-z-]+\/(index|x509)\.mjs$/.test(path) &&
        !/^dist\/gateway\/(gateway|digest-worker)(\.js|\.js\.map|\.cdx\.json)$/.test(path),
    );
    assert.deepEqual(strangers, []);
    assert.deepEqual(
      files.filter((path) => /\.test\./.test(path)),
      [],
    );
    for (const path of files) {
      const text = readFileSync(join(installed, path), 'utf8');
      assert.doesNotMatch(text, /-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]|AKIA[A-Z0-9]{16}/, path);
      assert.ok(!text.includes(repository), `${path} names a folder of this machine`);
    }
  });

  it('The package synthesizes the construct of the README, whose image has everything that its Dockerfile copies', () => {
    const [example] = examples();
    assert.ok(example !== undefined);
    writeFileSync(join(project, 'app.js'), example);
    const output = join(work, 'cdk.out');
    // With this variable an app synthesises at its end, as it does under the CDK command line.
    runNode(['app.js'], { CDK_OUTDIR: output });
    const assets = JSON.parse(readFileSync(join(output, 'Ftp.assets.json'), 'utf8')) as Assets;
    const [image] = Object.values(assets.dockerImages);
    assert.ok(image !== undefined);
    const context = join(output, image.source.directory);
    assert.deepEqual(readdirSync(context).sort(), ['.dockerignore', 'Dockerfile', 'gateway']);
    const dockerfile = readFileSync(join(context, 'Dockerfile'), 'utf8');
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].map(([, source]) => source);
    assert.deepEqual(copied, ['gateway']);
    assert.doesNotMatch(dockerfile, /^RUN/m);
    // What the image runs, run from there.
    assert.match(runNode([join(context, 'gateway/gateway.js'), '--version']), /^\d+\.\d+\.\d+\n$/);
  });

  it('The examples of the README type-check against the declarations of the package', () => {
    examples().forEach((example, index) => {
      writeFileSync(join(project, `example${index}.ts`), example);
    });
    writeFileSync(
      join(project, 'wrong.ts'),
      [
        "import type { FtpGatewayProps } from 'ftp-object-gateway/ftp-gateway-props';",
        "import { type Gateway, startGateway } from 'ftp-object-gateway/gateway';",
        '// @ts-expect-error -- proves that the types are there, and not any',
        "export const props: FtpGatewayProps = { slots: 'two' };",
        '// @ts-expect-error -- the same for the gateway: it needs its ports',
        'export const gateway: Promise<Gateway> = startGateway({}, {});',
      ].join('\n'),
    );
    const compilerOptions = {
      strict: true,
      noEmit: true,
      target: 'es2024',
      module: 'nodenext',
      skipLibCheck: true,
      types: ['node'],
    };
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    try {
      runNode([tsc, '-p', '.']);
    } catch (error) {
      assert.fail((error as { stdout: string }).stdout);
    }
  });

  it('The gateway of docs/package.md runs from the package: a client uploads a file to S3 and downloads it', async () => {
    const s3 = await startS3Server();
    const [, example = ''] = examples();
    // The test's bucket, and free ports in place of those of the example, which may be taken on this machine.
    const adapted = example
      .replace("'partner-files'", JSON.stringify(s3.bucket))
      .replace('2121', '0')
      .replace('[50000, 50001]', '[0, 0]');
    writeFileSync(join(project, 'run.js'), adapted);
    const child = spawn(process.execPath, ['run.js'], {
      cwd: project,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        PATH: process.env['PATH'],
        AWS_ENDPOINT_URL: s3.endpoint,
        AWS_ACCESS_KEY_ID: 'local',
        AWS_SECRET_ACCESS_KEY: 'local',
      },
    });
    const ended = once(child, 'exit');
    try {
      const client = new Client();
      await client.access({ port: await listeningPort(child.stdout), user: 'demo', password: 'demo' });
      await client.uploadFrom(Readable.from([Buffer.from('content')]), 'file.txt');
      const object = await s3.client.send(new GetObjectCommand({ Bucket: s3.bucket, Key: 'demo/file.txt' }));
      assert.equal(await object.Body?.transformToString(), 'content');
      const downloaded = new PassThrough();
      const [text] = await Promise.all([readAll(downloaded), client.downloadTo(downloaded, 'file.txt')]);
      assert.equal(text, 'content');
      client.close();
      child.kill('SIGTERM');
      assert.deepEqual(await ended, [0, null], 'the drain of the example ends the process');
    } finally {
      child.kill('SIGKILL');
      await ended;
      await s3.close();
    }
  });
});

/** The port that the example names on its standard output. */
async function listeningPort(output: Readable): Promise<number> {
  for await (const line of createInterface({ input: output })) {
    const [, port] = /^The gateway listens on port (\d+)\.$/.exec(line) ?? [];
    if (port !== undefined) return Number(port);
  }
  throw new Error('The example ended before it listened.');
}

/** The three examples of docs/package.md in their order: construct, gateway, stock ftp-srv. */
function examples(): readonly string[] {
  const page = readFileSync(join(repository, 'docs/package.md'), 'utf8');
  const found = [...page.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code = '']) => code);
  assert.equal(found.length, 3);
  return found;
}
