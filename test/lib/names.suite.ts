/** What the stack says about names is what the gateway reads. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { variables } from '../../src/config/variables.ts';
import { synthApp, synthGateway } from './synth.ts';

describe('names', () => {
  it('Names with backslashes and names of clients without UTF-8 are settings of the construct', () => {
    const { template } = synthGateway({ filenameEncoding: 'windows-1252', pathnameBackslash: 'separator' });
    const text = JSON.stringify(template.toJSON());
    assert.match(text, /"Name":"FILENAME_ENCODING","Value":"windows-1252"/);
    assert.match(text, /"Name":"PATHNAME_BACKSLASH","Value":"separator"/);
    assert.equal(variables.filenameEncoding.parse('windows-1252'), 'windows-1252');
    assert.equal(variables.pathnameBackslash.parse('separator'), 'separator');
  });

  it('The settings for names are settings of the app too, and invalid values are refused at synth', () => {
    const { template } = synthApp({ filenameEncoding: 'windows-1252', pathnameBackslash: 'separator' });
    const text = JSON.stringify(template.toJSON());
    assert.match(text, /"Name":"FILENAME_ENCODING","Value":"windows-1252"/);
    assert.match(text, /"Name":"PATHNAME_BACKSLASH","Value":"separator"/);
    assert.throws(() => synthApp({ filenameEncoding: 'latin1' }), /-c filenameEncoding: /);
    assert.throws(() => synthApp({ pathnameBackslash: 'slash' }), /-c pathnameBackslash: /);
  });

  it('The settings for names have the defaults of the gateway when the stack sets none', () => {
    const text = JSON.stringify(synthGateway().template.toJSON());
    assert.doesNotMatch(text, /FILENAME_ENCODING|PATHNAME_BACKSLASH/);
  });
});
