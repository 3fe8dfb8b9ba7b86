/** cdk-nag's AWS Solutions rules: every finding is mended, or acknowledged where the resource is made, with the reason. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { App, type Stack, Validations } from 'aws-cdk-lib';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { AwsSolutionsChecks } from 'cdk-nag';
import { addGatewayStack } from '../../lib/app.ts';
import { cdkJson } from './synth.ts';

const outdir = mkdtempSync(join(tmpdir(), 'ftp-gateway-nag-'));
after(() => rmSync(outdir, { recursive: true }));

function check(environment: string, change: (stack: Stack) => void = () => undefined): void {
  const app = new App({ context: { ...cdkJson().context, environment }, outdir, analyticsReporting: false });
  change(addGatewayStack(app, () => []));
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  app.synth();
}

describe('the AWS Solutions rules', () => {
  for (const environment of ['production', 'staging']) {
    it(`The AWS Solutions rules find nothing in ${environment} that is not acknowledged`, () => {
      check(environment);
    });
  }

  it('The AWS Solutions rules find a topic that accepts clear text', () => {
    assert.throws(() => {
      check('production', (stack) => new Topic(stack, 'Wrong'));
    }, /ValidationFailed|Validation failed/);
  });
});
