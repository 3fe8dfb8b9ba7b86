/**
 * The file of an environment in `plans/`: the slots that its stack has. Keep it in version control. The next deployment is
 * checked against it, wherever it runs.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkedPlan, type DeployedPlan, mergedPlan, parseDeployedPlan } from './deployed-plan.ts';

const stackPrefix = 'ftp-gateway-';

/** The file of the plan of an environment. */
export function planPath(folder: string, environment: string): string {
  return join(folder, `${environment}.json`);
}

/** @throws where the file is missing or is not a plan; an environment that is not deployed yet has an empty plan. */
export function readPlan(folder: string, environment: string): DeployedPlan {
  const path = planPath(folder, environment);
  if (!existsSync(path)) {
    throw new Error(
      `${path} is missing: it lists which slots the environment "${environment}" has, so that no change takes ports away ` +
        `under running sessions. "npm run deploy -- -c environment=${environment}" makes it from what is deployed. If nothing is ` +
        `deployed yet, create it with: echo '{"slots":[]}' > ${path}`,
    );
  }
  try {
    const document = JSON.parse(readFileSync(path, 'utf8')) as { slots?: unknown };
    return checkedPlan(document.slots);
  } catch (error) {
    throw new Error(
      `${path} is invalid: ${firstLine((error as Error).message)}. Take it from version control, or have ` +
        `"npm run deploy -- -c environment=${environment}" write it again from what is deployed.`,
      { cause: error },
    );
  }
}

/** Writes the file, a slot per line, where it differs. */
export function writePlan(folder: string, environment: string, plan: DeployedPlan): void {
  const slots = plan.map((slot) => `    ${JSON.stringify(slot)}`).join(',\n');
  const text = plan.length === 0 ? '{ "slots": [] }\n' : `{\n  "slots": [\n${slots}\n  ]\n}\n`;
  const path = planPath(folder, environment);
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text);
}

/**
 * Records what `cdk deploy` has written about the stacks of its last run (cdk.json, "outputsFile"). The CLI keeps no stack of an
 * earlier run in that file, and so this happens before each synthesis, which comes before the CLI writes again.
 * @throws where the outputs, or a plan file, are not understood.
 */
export function recordOutputs(outputsFile: string, folder: string): void {
  if (!existsSync(outputsFile)) return;
  let outputs: Record<string, Record<string, string>>;
  try {
    outputs = JSON.parse(readFileSync(outputsFile, 'utf8')) as typeof outputs;
  } catch (error) {
    throw new Error(
      `${outputsFile} is invalid: ${firstLine((error as Error).message)}. "cdk deploy" writes it; delete it, and check ` +
        `that the files in ${folder} match the deployment ("npm run deploy" does).`,
      { cause: error },
    );
  }
  for (const [stackName, { PassivePortPlan }] of Object.entries(outputs)) {
    if (!stackName.startsWith(stackPrefix) || PassivePortPlan === undefined) continue;
    const environment = stackName.slice(stackPrefix.length);
    const recorded = existsSync(planPath(folder, environment)) ? readPlan(folder, environment) : [];
    writePlan(folder, environment, mergedPlan(recorded, parseDeployedPlan(PassivePortPlan)));
  }
}

/** The stack of an environment. */
export function stackNameOf(environment: string): string {
  return `${stackPrefix}${environment}`;
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').replace(/\.$/, '');
}
