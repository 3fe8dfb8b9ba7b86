/** Entry of `cdk synth` and `cdk deploy` (cdk.json, "app"). Prints what to change instead of a stack trace. */
import { App } from 'aws-cdk-lib';
import { addGatewayStack } from '../lib/app.ts';

const app = new App();
try {
  addGatewayStack(app, 'cdk.outputs.json');
  app.synth();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
