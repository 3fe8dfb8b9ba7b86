/** Previews the effects of a deployment on slots, ports, listeners and sessions: `npm run plan -- -c passivePorts=...`. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CloudFormationClient, GetTemplateCommand } from '@aws-sdk/client-cloudformation';
import { App } from 'aws-cdk-lib';
import { addGatewayStack, environmentOf } from '../lib/app.ts';
import { readPlan, recordOutputs, stackNameOf } from '../lib/plan-file.ts';
import { describePlan, type Template, taskReplacements } from './plan-description.ts';

const { values: options } = parseArgs({
  options: {
    context: { type: 'string', short: 'c', multiple: true, default: [] },
    plans: { type: 'string', default: fileURLToPath(new URL('../plans', import.meta.url)) },
    // Without AWS: a template file to compare with instead of the deployed one.
    template: { type: 'string' },
  },
});

async function main(): Promise<void> {
  const cdkJson = JSON.parse(readFileSync('cdk.json', 'utf8')) as { context: Record<string, unknown> };
  const given = options.context.map((text) => {
    const [key = '', ...value] = text.split('=');
    return [key, value.join('=')] as const;
  });
  const app = new App({ context: { ...cdkJson.context, ...Object.fromEntries(given) } });
  const environment = environmentOf(app);
  recordOutputs('cdk.outputs.json', options.plans);
  const deployed = readPlan(options.plans, environment);
  const stack = addGatewayStack(app, () => deployed);
  process.stdout.write(`${describePlan(deployed, stack.gateway.plan)}\n`);
  const after = app.synth().getStackByName(stack.stackName).template as Template;
  const before = await deployedTemplate(environment);
  if (typeof before === 'string') {
    process.stdout.write(`\nChanges of running tasks by CloudFormation: not compared, ${before}.\n`);
    return;
  }
  const replacements = taskReplacements(before, after, deployed);
  process.stdout.write(
    replacements.length === 0
      ? '\nCloudFormation replaces no running task.\n'
      : `\nCloudFormation replaces running tasks, with ${stack.gateway.plan.slots.length} slots in groups one after another:\n` +
          replacements.map((line) => `  ${line}\n`).join(''),
  );
}

/** The template, or the reason why it is not available. */
async function deployedTemplate(environment: string): Promise<Template | string> {
  if (options.template !== undefined) return JSON.parse(readFileSync(options.template, 'utf8')) as Template;
  try {
    const { TemplateBody } = await new CloudFormationClient().send(
      new GetTemplateCommand({ StackName: stackNameOf(environment), TemplateStage: 'Original' }),
    );
    return JSON.parse(TemplateBody ?? '{"Resources":{}}') as Template;
  } catch (error) {
    if (/does not exist/.test((error as Error).message)) return { Resources: {} };
    return `the deployed template cannot be read: ${(error as Error).message}`;
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
