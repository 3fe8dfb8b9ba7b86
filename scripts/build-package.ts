/**
 * The npm package's dist/: JavaScript and declarations of what it exports, and beside them the gateway as one file with a
 * Dockerfile that copies it. A package holds no lock file, so an image built from an installed one cannot build the bundle.
 * Usage: npm run build
 */
import { execFileSync } from 'node:child_process';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.ts';

const repository = new URL('..', import.meta.url);
const dist = new URL('dist/', repository);

/**
 * The repository's Dockerfile, with the bundle copied from the context where the repository's builds it.
 * @throws when the Dockerfile has no such stages.
 */
function packagedDockerfile(dockerfile: string): string {
  const stages = /^(FROM \S+ AS build\n)[^]*?(?=^FROM )/m;
  if (!stages.test(dockerfile)) throw new Error('The Dockerfile has no stage "build" before its last one.');
  return dockerfile.replace(stages, '$1COPY gateway /gateway\n\n');
}

await rm(dist, { recursive: true, force: true });
execFileSync(
  process.execPath,
  [fileURLToPath(import.meta.resolve('typescript/bin/tsc')), '-p', 'tsconfig.build.json'],
  { cwd: fileURLToPath(repository), stdio: 'inherit' },
);
// The code of the construct's functions, which is no TypeScript.
await cp(new URL('lib/lambda/', repository), new URL('lib/lambda/', dist), { recursive: true });
await mkdir(new URL('gateway/', dist), { recursive: true });
await bundle(fileURLToPath(new URL('gateway/gateway.js', dist)));
// The construct takes the folder above its own as the Docker context: here dist/, in the repository its root.
await writeFile(
  new URL('Dockerfile', dist),
  packagedDockerfile(await readFile(new URL('Dockerfile', repository), 'utf8')),
);
await writeFile(new URL('.dockerignore', dist), '*\n!gateway\n');
