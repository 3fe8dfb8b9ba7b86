/**
 * The gateway as JavaScript: one file, and a small one beside it for each thread that it starts. This is what the image runs. Node's own
 * modules stay outside, everything else is in it, and the packages it holds are listed beside it as a CycloneDX bill of materials.
 * Usage: node scripts/bundle.ts OUT.js
 */
import { readFile, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Metafile } from 'esbuild';

type PackageJson = { readonly name: string; readonly version: string; readonly license?: string };

const repository = new URL('..', import.meta.url);

/**
 * Bundles `src/main.ts` into `outfile`, and the code of its threads beside it, with source maps and a bill of materials. Returns
 * their size in bytes.
 */
export async function bundle(outfile: string): Promise<number> {
  const { metafile } = await build({
    absWorkingDir: fileURLToPath(repository),
    entryPoints: {
      [basename(outfile, '.js')]: 'src/main.ts',
      'digest-worker': 'src/filesystem/digest-worker.ts',
    },
    outdir: dirname(outfile),
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
    // An optional native package of bunyan, which ftp-srv loads.
    external: ['dtrace-provider'],
    // CommonJS packages inside an ES module still ask for `require` at run time.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
    },
  });
  await writeFile(outfile.replace(/\.js$/, '.cdx.json'), JSON.stringify(await billOfMaterials(metafile)));
  return Object.entries(metafile.outputs).reduce(
    (size, [name, output]) => (name.endsWith('.js') ? size + output.bytes : size),
    0,
  );
}

async function billOfMaterials(metafile: Metafile): Promise<object> {
  const folders = new Set<string>();
  for (const input of Object.keys(metafile.inputs)) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match?.[1] !== undefined) folders.add(match[1]);
  }
  const packages = await Promise.all(
    [...folders].sort().map((folder) => readPackage(`${folder}/package.json`)),
  );
  const { name, version } = await readPackage('package.json');
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { component: { type: 'application', name, version } },
    components: packages.map(({ name, version, license }) => ({
      type: 'library',
      name,
      version,
      purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
      ...(license !== undefined && { licenses: [{ license: { id: license } }] }),
    })),
  };
}

async function readPackage(path: string): Promise<PackageJson> {
  return JSON.parse(await readFile(new URL(path, repository), 'utf8')) as PackageJson;
}

if (import.meta.main) {
  const [outfile] = process.argv.slice(2);
  if (outfile === undefined) throw new Error('Usage: node scripts/bundle.ts OUT.js');
  const size = await bundle(outfile);
  process.stdout.write(`${outfile}: ${(size / 1024 / 1024).toFixed(1)} MiB\n`);
}
