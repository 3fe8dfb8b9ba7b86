/**
 * `cdk deploy`, which reads the plan of the environment from the deployed stack before, and records it after: for CI and
 * for fresh checkouts. Arguments are those of `cdk deploy`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type DeployedPlan, mergedPlan } from '../lib/deployed-plan.ts';
import { planPath, writePlan } from '../lib/plan-file.ts';
import { environmentIn } from './deploy-arguments.ts';
import { DeployedStack } from './deployed-stack.ts';

const plans = process.env['FTP_GATEWAY_PLANS'] ?? fileURLToPath(new URL('../plans', import.meta.url));

/** @throws where cdk.json has no such environment: a plan must not be recorded under a misspelled name. */
function checkEnvironment(environment: string): void {
  const { context } = JSON.parse(readFileSync('cdk.json', 'utf8')) as {
    context?: { environments?: Readonly<Record<string, unknown>> };
  };
  const known = Object.keys(context?.environments ?? {}).filter((name) => !name.startsWith('//'));
  if (known.includes(environment)) return;
  throw new Error(`cdk.json has no environment "${environment}"; it has ${known.join(', ') || 'none'}.`);
}

/** The slots of the stack; those run whose service has a task to run. */
async function deployedPlan(environment: string): Promise<DeployedPlan> {
  const stack = await DeployedStack.find(environment);
  if (stack === undefined) return [];
  const slots = await stack.slots();
  const running = slots.map(({ slot, service }) => ({ ...slot, running: (service.desiredCount ?? 0) > 0 }));
  return mergedPlan(running, stack.plan);
}

const args = process.argv.slice(2);
const environment = environmentIn(args);
try {
  checkEnvironment(environment);
  writePlan(plans, environment, await deployedPlan(environment));
  const child = spawn('npx', ['--no-install', 'cdk', 'deploy', ...args], { stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
  writePlan(plans, environment, await deployedPlan(environment));
  if (existsSync(planPath(plans, environment)))
    process.stdout.write(`Commit ${planPath(plans, environment)}.\n`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
