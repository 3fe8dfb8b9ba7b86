/**
 * `npm run bench:peers -- FOLDER`: builds the servers that the comparison names, in these versions, into a folder for `BENCH_PEERS`.
 * Needs Go. vsftpd and ProFTPD (with `proftpd-mod-crypto`) come from the distribution.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const sftpgo = { module: 'github.com/drakkan/sftpgo/v2', version: 'v2.7.5' };
const rclone = { module: 'github.com/rclone/rclone', version: 'v1.75.1' };

const [target] = process.argv.slice(2);
if (target === undefined) throw new Error('usage: npm run bench:peers -- FOLDER');
const folder = resolve(target);
mkdirSync(folder, { recursive: true });

// Without the storages and databases that the comparison does not use: they take minutes to compile.
build(sftpgo, 'sftpgo', '.', ['-tags', 'nogcs,noazblob,nobolt,nomysql,nopgsql,nosqlite']);

const parts = ['backend/local', 'backend/s3', 'cmd/serve', 'cmd/serve/ftp', 'cmd/version'];
const program = `package main

import (
${parts.map((part) => `\t_ "${rclone.module}/${part}"`).join('\n')}
\t"${rclone.module}/cmd"
)

func main() { cmd.Main() }
`;
build(
  rclone,
  'rclone',
  './comparison',
  ['-ldflags', `-X ${rclone.module}/fs.Version=${rclone.version}`],
  program,
);

/** Builds a program from a copy of its module, whose own folder is read-only. */
function build(
  { module, version }: { readonly module: string; readonly version: string },
  name: string,
  path: string,
  options: readonly string[],
  main?: string,
): void {
  const printed = execFileSync('go', ['mod', 'download', '-json', `${module}@${version}`], {
    encoding: 'utf8',
  });
  const { Dir } = JSON.parse(printed) as { readonly Dir: string };
  const copy = mkdtempSync(join(tmpdir(), `${name}-`));
  try {
    cpSync(Dir, copy, { recursive: true });
    execFileSync('chmod', ['-R', 'u+w', copy]);
    if (main !== undefined) {
      mkdirSync(join(copy, path));
      writeFileSync(join(copy, path, 'main.go'), main);
    }
    execFileSync('go', ['build', '-trimpath', ...options, '-o', join(folder, name), path], {
      cwd: copy,
      stdio: 'inherit',
      env: { ...process.env, CGO_ENABLED: '0' },
    });
    console.log(`${name} ${version}: ${join(folder, name)}`);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
