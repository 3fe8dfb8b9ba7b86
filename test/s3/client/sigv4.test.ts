import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { SignatureV4 } from '@smithy/signature-v4';
import fc from 'fast-check';
import { emptyPayloadHash, encodePath, encodeQuery, Signer } from '../../../src/s3/client/sigv4.ts';

// Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header": the examples and their signatures.
const credentials = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};
const time = Date.UTC(2013, 4, 24);
const host = 'examplebucket.s3.amazonaws.com';
const examples = [
  {
    name: 'GET Object',
    request: {
      method: 'GET',
      path: '/test.txt',
      query: '',
      headers: { host, range: 'bytes=0-9' },
      payloadHash: emptyPayloadHash,
    },
    signature: 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  },
  {
    name: 'PUT Object',
    request: {
      method: 'PUT',
      path: encodePath('/test$file.text'),
      query: '',
      headers: {
        host,
        date: 'Fri, 24 May 2013 00:00:00 GMT',
        'x-amz-storage-class': 'REDUCED_REDUNDANCY',
      },
      payloadHash: '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
    },
    signature: '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  },
  {
    name: 'GET Bucket Lifecycle',
    request: {
      method: 'GET',
      path: '/',
      query: encodeQuery({ lifecycle: '' }),
      headers: { host },
      payloadHash: emptyPayloadHash,
    },
    signature: 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  },
  {
    name: 'List Objects',
    request: {
      method: 'GET',
      path: '/',
      query: encodeQuery({ prefix: 'J', 'max-keys': '2' }),
      headers: { host },
      payloadHash: emptyPayloadHash,
    },
    signature: '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  },
];

describe('The signature of a request', () => {
  for (const { name, request, signature } of examples) {
    it(`The signature of the example ${name} is the documented one.`, () => {
      const { authorization = '' } = new Signer('us-east-1').sign(request, credentials, time);
      assert.equal(/Signature=(\w+)$/.exec(authorization)?.[1], signature);
    });
  }

  it('The signature is that of the SDK for any key, query and header.', async () => {
    const library = new SignatureV4({
      credentials: { ...credentials, sessionToken: 'token' },
      region: 'eu-west-1',
      service: 's3',
      sha256: Sha256,
      uriEscapePath: false,
    });
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
    const value = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 20 });
    const anyRequest = fc.record({ key: text, prefix: text, token: text, mark: value });
    await fc.assert(
      fc.asyncProperty(anyRequest, async ({ key, prefix, token, mark }) => {
        const headers = { host, 'x-amz-meta-mark': mark };
        const query = { prefix, 'continuation-token': token, absent: undefined };
        const path = `/${encodePath(key)}`;
        const ours = new Signer('eu-west-1').sign(
          { method: 'PUT', path, query: encodeQuery(query), headers, payloadHash: 'UNSIGNED-PAYLOAD' },
          { ...credentials, sessionToken: 'token' },
          time,
        );
        const theirs = await library.sign(
          {
            method: 'PUT',
            protocol: 'https:',
            hostname: host,
            path,
            query: { prefix, 'continuation-token': token },
            headers: { ...headers, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
          },
          { signingDate: new Date(time) },
        );
        assert.equal(signatureOf(ours['authorization']), signatureOf(theirs.headers['authorization']));
      }),
    );
  });

  it('The signature changes with the credentials and the day.', () => {
    const signer = new Signer('us-east-1');
    const [example] = examples;
    const sign = (secretAccessKey: string, timeMs: number): string =>
      signer.sign(example!.request, { ...credentials, secretAccessKey }, timeMs)['authorization'] ?? '';
    const first = sign('one', time);
    assert.notEqual(signatureOf(sign('two', time)), signatureOf(first));
    assert.equal(sign('one', time), first);
    assert.match(sign('one', time + 86_400_000), /20130525\/us-east-1/);
  });
});

/** As the SDK's signer wants it. */
class Sha256 {
  readonly #hash;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    const key = typeof secret === 'object' ? bytesOf(secret) : secret;
    this.#hash = key === undefined ? createHash('sha256') : createHmac('sha256', key);
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    throw new Error('not needed for signatures');
  }
}

function bytesOf(data: ArrayBuffer | ArrayBufferView): Uint8Array {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function signatureOf(authorization: string | undefined): string | undefined {
  return /Signature=(\w+)$/.exec(authorization ?? '')?.[1];
}
