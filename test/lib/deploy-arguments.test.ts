import assert from 'node:assert/strict';
import { it } from 'node:test';
import { environmentIn } from '../../scripts/deploy-arguments.ts';

for (const [args, environment] of [
  [[], 'production'],
  [['-c', 'environment=staging'], 'staging'],
  [['--context', 'environment=staging'], 'staging'],
  [['--context=environment=staging'], 'staging'],
  [['-cenvironment=staging'], 'staging'],
  [['-c=environment=staging'], 'staging'],
  [['-c', 'environment=staging', '--require-approval', 'never', '-c', 'environment=other'], 'other'],
  [['-c', 'passivePorts=8192-8199', 'environment=staging'], 'production'],
  [['--require-approval', 'environment=staging'], 'production'],
] as const) {
  it(`npm run deploy ${args.join(' ')} records the plan of ${environment}`, () => {
    assert.equal(environmentIn(args), environment);
  });
}
