/** The layers, the documents that show them, and the linter that enforces them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { renderLayerDocs } from '../scripts/layer-docs.ts';

const repository = fileURLToPath(new URL('..', import.meta.url));
const depcruise = join(repository, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs');

describe('CONTRIBUTING.md', () => {
  it('CONTRIBUTING.md shows the table of layers that the linter enforces (npm run docs writes it)', async () => {
    const { current, wanted } = await renderLayerDocs();
    assert.equal(current, wanted);
  });

  it('CONTRIBUTING.md describes every folder that holds code in exactly one row', async () => {
    const contributing = await readFile(join(repository, 'CONTRIBUTING.md'), 'utf8');
    const described = [...contributing.matchAll(/^\|((?: *`[^`|]+`,?)+) *\|[^|]*\|[^|]*\|$/gm)].flatMap(
      ([, cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
    );
    assert.deepEqual(described.sort(), (await foldersWithCode()).sort());
  });
});

describe('the linter of layers', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'layers-'));
    for (const file of ['.dependency-cruiser.js', 'tsconfig.json', 'package.json']) {
      await cp(join(repository, file), join(folder, file));
    }
    await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'));
  });
  after(() => rm(folder, { recursive: true }));

  it('The layer linter accepts an import that the table of layers names', async () => {
    const { code, output } = await lint({
      'src/ftp/data/a.ts': `import { b } from '../../filesystem/b.ts';\nexport const a = b;\n`,
      'src/filesystem/b.ts': 'export const b = 1;\n',
    });
    assert.equal(code, 0, output);
  });

  const violations: readonly (readonly [
    title: string,
    rule: RegExp,
    files: Readonly<Record<string, string>>,
  ])[] = [
    [
      'an import of a higher layer',
      /error layer src\/ftp\/data\/: src\/ftp\/data\/a\.ts → src\/ftp\/control\/b\.ts/,
      {
        'src/ftp/data/a.ts': `import { b } from '../control/b.ts';\nexport const a = b;\n`,
        'src/ftp/control/b.ts': 'export const b = 1;\n',
      },
    ],
    [
      'a type import of the other half',
      /error layer src\/s3\/upload\/: src\/s3\/upload\/a\.ts → src\/ftp\/data\/b\.ts/,
      {
        'src/s3/upload/a.ts': `import type { B } from '../../ftp/data/b.ts';\nexport type A = B;\n`,
        'src/ftp/data/b.ts': 'export type B = 1;\n',
      },
    ],
    [
      'two files that import each other',
      /error no-circular: src\/util\/a\.ts →\s+src\/util\/b\.ts/,
      {
        'src/util/a.ts': `import type { B } from './b.ts';\nexport type A = B;\n`,
        'src/util/b.ts': `import type { A } from './a.ts';\nexport type B = A;\n`,
      },
    ],
    [
      'an import of the S3 client outside of src/s3',
      /error package @aws-sdk\/client-s3: src\/ftp\/data\/a\.ts →/,
      { 'src/ftp/data/a.ts': `import { S3Client } from '@aws-sdk/client-s3';\nexport const a = S3Client;\n` },
    ],
    [
      'an import of a devDependency in src',
      /error no-dev-dependencies-in-src: src\/util\/a\.ts →/,
      { 'src/util/a.ts': `import fc from 'fast-check';\nexport const a = fc;\n` },
    ],
  ];
  for (const [title, rule, files] of violations) {
    it(`The layer linter rejects ${title}`, async () => {
      const { code, output } = await lint(files);
      assert.notEqual(code, 0, output);
      assert.match(output, rule);
    });
  }

  /** Lints a tree of these files alone, with the rules of this repository. */
  async function lint(files: Readonly<Record<string, string>>): Promise<{ code: number; output: string }> {
    await rm(join(folder, 'src'), { recursive: true, force: true });
    for (const [path, text] of Object.entries(files)) {
      await mkdir(join(folder, dirname(path)), { recursive: true });
      await writeFile(join(folder, path), text);
    }
    return await new Promise((resolve) => {
      execFile(
        process.execPath,
        [depcruise, '--config', '.dependency-cruiser.js', 'src'],
        { cwd: folder },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
      );
    });
  }
});

/**
 * The names of the rows that should be: for each folder of src its own row, where it holds files beside folders also one for
 * these; the other top-level folders as a whole.
 */
async function foldersWithCode(): Promise<string[]> {
  const inSrc = await rowsBelow('src');
  return [...inSrc, 'dev/', 'lib/', 'bin/', 'bench/', 'scripts/'];
}

async function rowsBelow(path: string): Promise<string[]> {
  const entries = await readdir(join(repository, path), { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory());
  const hasFiles = entries.some((entry) => entry.isFile());
  const below = await Promise.all(folders.map(({ name }) => rowsBelow(`${path}/${name}`)));
  if (folders.length === 0) return [`${path}/`];
  return [...(hasFiles ? [`${path}/*.ts`] : []), ...below.flat()];
}
