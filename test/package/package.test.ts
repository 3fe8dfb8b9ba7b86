/** The package as those who install it get it: packed, unpacked into a project of its own, imported, synthesised, compiled. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
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
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

type PackageJson = { readonly name: string; readonly exports: Readonly<Record<string, unknown>> };
type Assets = {
  readonly dockerImages: Readonly<Record<string, { readonly source: { readonly directory: string } }>>;
};

const repository = fileURLToPath(new URL('../..', import.meta.url));
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

  it('lets plain JavaScript import everything it exports', () => {
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
      'StockFilesystem',
      'createS3Client',
      'TransferMemory',
      'startGateway',
    ]) {
      assert.ok(exported.includes(name), name);
    }
  });

  it('holds no tests, no sources, and nothing that is kept from others', () => {
    const strangers = files.filter(
      (path) =>
        !/^(package\.json|README\.md|LICENSE|CHANGELOG\.md|dist\/(Dockerfile|\.dockerignore))$/.test(path) &&
        !/^dist\/(lib|src)\/.+(\.js|\.d\.ts)$/.test(path) &&
        !/^dist\/lib\/lambda\/[a-z-]+\/index\.mjs$/.test(path) &&
        !/^dist\/gateway\/gateway(\.js|\.js\.map|\.cdx\.json)$/.test(path),
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

  it('synthesises the construct of the README, whose image has all that its Dockerfile copies', () => {
    const [example] = readmeExamples();
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

  it('type-checks the examples of the README against its declarations', () => {
    const examples = readmeExamples();
    assert.equal(examples.length, 2);
    examples.forEach((example, index) => {
      writeFileSync(join(project, `example${index}.ts`), example);
    });
    writeFileSync(
      join(project, 'gateway.ts'),
      [
        "import { type Gateway, type GatewayOptions, startGateway } from 'ftp-object-gateway/gateway';",
        "import type { FtpGatewayProps } from 'ftp-object-gateway/ftp-gateway-props';",
        "import { S3Filesystem } from 'ftp-object-gateway/s3-filesystem';",
        'declare const options: GatewayOptions;',
        'declare const storage: ConstructorParameters<typeof S3Filesystem>[0];',
        'export const gateway: Promise<Gateway> = startGateway(options, {',
        '  authenticate: async () => undefined,',
        '  filesystemFor: (user) => new S3Filesystem(storage, user.home),',
        '  observe: (event) => console.log(event.event),',
        '});',
        '// @ts-expect-error -- proves that the types are there, and not any',
        "export const wrong: FtpGatewayProps = { slots: 'two' };",
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
});

/** The examples of "As a package", in their order. */
function readmeExamples(): readonly string[] {
  const readme = readFileSync(join(repository, 'README.md'), 'utf8');
  const [section] = /^## As a package\n[^]*?(?=^## )/m.exec(readme) ?? [];
  assert.ok(section !== undefined);
  return [...section.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code = '']) => code);
}
