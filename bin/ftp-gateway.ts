/** Entry of `cdk synth` and `cdk deploy` (cdk.json, "app"). Prints what to change instead of a stack trace. */
import { fileURLToPath } from 'node:url';
import { App } from 'aws-cdk-lib';
import { addGatewayStack } from '../lib/app.ts';
import { readPlan, recordOutputs } from '../lib/plan-file.ts';

const plans = process.env['FTP_GATEWAY_PLANS'] ?? fileURLToPath(new URL('../plans', import.meta.url));

const app = new App();
try {
  recordOutputs('cdk.outputs.json', plans);
  addGatewayStack(app, (environment) => readPlan(plans, environment));
  app.synth();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
