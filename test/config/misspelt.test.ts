import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { misspeltVariables } from '../../src/config/misspelt.ts';

describe('misspeltVariables', () => {
  for (const [name, meant] of [
    ['PASSIVE_PORT', 'PASSIVE_PORTS'],
    ['TLS_CERTIFCIATE', 'TLS_CERTIFICATE'],
    ['s3_bucket', 'S3_BUCKET'],
    ['S3-BUCKET', 'S3_BUCKET'],
    ['S3BUCKET', 'S3_BUCKET'],
    ['MAX_SESSION', 'MAX_SESSIONS'],
    ['MAX_SESSIONS_PER_USERS', 'MAX_SESSIONS_PER_USER'],
    ['LOG_LEVLE', 'LOG_LEVEL'],
  ] as const) {
    it(`The variable ${name} is taken for ${meant}`, () => {
      assert.deepEqual(misspeltVariables({ [name]: 'x' }), [{ name, meant }]);
    });
  }

  it('A variable of another program, one that is empty, and one beside the right one are left alone', () => {
    const others = { USER: 'root', HOME: '/', PATH: '/bin', TLS_X: 'y', HOSTNAME: 'h', AWS_REGION: 'r' };
    assert.deepEqual(misspeltVariables({ ...others, PASSIVE_PORT: ' ' }), []);
    assert.deepEqual(misspeltVariables({ PASSIVE_PORT: '1', PASSIVE_PORTS: '2' }), []);
  });
});
