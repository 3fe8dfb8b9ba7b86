/**
 * The whole template of `cdk synth`, so that no change of it goes unseen. Update:
 * `npx node --test --test-update-snapshots test/lib/stack.test.ts`.
 */
import { it } from 'node:test';
import { synthApp } from './synth.ts';

for (const environment of ['production', 'staging']) {
  it(`The ${environment} stack equals its snapshot`, (test) => {
    const text = JSON.stringify(synthApp({ environment }).template.toJSON(), undefined, 1);
    // The image's hash changes with every line of src/; the template around it must not.
    test.assert.snapshot(text.replace(/:[0-9a-f]{64}"/g, ':IMAGE"'), {
      serializers: [String],
    });
  });
}
