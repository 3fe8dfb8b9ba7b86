/** `npm run audit:dependencies`: fails where a production dependency has a licence or a vulnerability that is not accepted. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import {
  advisoriesOf,
  auditProblems,
  productionPackages,
  type Findings,
  type LockedPackage,
} from './dependency-audit.ts';

const read = async (path: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(path, import.meta.url), 'utf8'));
const { packages } = (await read('../package-lock.json')) as {
  readonly packages: Readonly<Record<string, LockedPackage>>;
};
const findings = (await read('./dependency-findings.json')) as Findings;

// npm exits with 1 where it has found something, and where the registry has no audit or cannot be reached.
const { stdout } = await promisify(execFile)('npm', ['audit', '--omit=dev', '--json']).catch(
  (error: unknown) => error as { readonly stdout: string },
);
const advisories = advisoriesOf(stdout === '' ? '{}' : stdout);
const installed = productionPackages(packages);
const problems = auditProblems(installed, findings, advisories ?? []);
if (advisories === undefined) {
  console.log(
    'The registry answers no audit: only package-lock.json and the accepted findings were compared.',
  );
}
console.log(`${installed.length} packages, ${findings.accepted.length} accepted findings.`);
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
