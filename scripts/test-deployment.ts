/** Makes the virtual environment with the emulator, once, and runs the deployment tests in it. Arguments go to `node --test`. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ministack = 'ministack==1.5.33';
const folder = fileURLToPath(new URL('../.cache/ministack', import.meta.url));

function run(program: string, args: readonly string[]): void {
  const { status, error } = spawnSync(program, args, { stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

if (!existsSync(`${folder}/bin/ministack`)) {
  run('python3', ['-m', 'venv', folder]);
  run(`${folder}/bin/pip`, ['install', '--quiet', ministack]);
}
run(process.execPath, [
  '--test',
  '--test-timeout=1200000',
  ...process.argv.slice(2),
  'test/system/deployment/*.test.ts',
]);
