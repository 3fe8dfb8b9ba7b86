/** Pathnames and names that are made to leave the home, over a real connection and with real keys. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { S3Filesystem } from '../../../src/s3/filesystem/s3-filesystem.ts';
import { putObject } from '../../s3/transfer.ts';
import { storageOn } from '../../support/s3-storage.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';
import { type S3Server, startS3Server } from '../../support/s3-server.ts';

const secret = Buffer.from('a file of another user');

const escapes = [
  '../alice2/secret.txt',
  '/../alice2/secret.txt',
  'a/../../alice2/secret.txt',
  '..//..//alice2//secret.txt',
  '//alice2/secret.txt',
  './.././alice2/secret.txt',
  '..\\alice2\\secret.txt',
  '%2e%2e/alice2/secret.txt',
  '..%2falice2%2fsecret.txt',
  '．．/alice2/secret.txt',
  '..;/alice2/secret.txt',
  '.. /alice2/secret.txt',
  '~alice2/secret.txt',
  '/alice2/secret.txt',
  '2/secret.txt',
  '..2/secret.txt',
] as const;

/** Dots and a slash in more bytes than UTF-8 allows (RFC 3629 3). */
const overlong = Buffer.from([0xc0, 0xae, 0xc0, 0xae, 0xc0, 0xaf, ...Buffer.from('alice2/secret.txt')]);

describe('hostile pathnames', () => {
  let s3: S3Server;
  let gateway: TestGateway;
  let client: Dialogue;

  before(async () => {
    s3 = await startS3Server();
    await putObject(s3.client, s3.bucket, 'alice2/secret.txt', secret);
    await putObject(s3.client, s3.bucket, 'secret.txt', secret);
    await putObject(s3.client, s3.bucket, 'alice/own.txt', Buffer.from('own'));
    const storage = storageOn(s3.endpoint);
    const user = (name: string, permissions: 'read-write' | 'write-only' = 'read-write') => ({
      name,
      password: 'secret',
      permissions,
      home: { bucket: s3.bucket, prefix: name === 'dropbox' ? 'alice/' : `${name}/` },
    });
    gateway = await startTestGateway({
      users: [user('alice'), user('alice2'), user('dropbox', 'write-only')],
      filesystemFor: ({ name, home }) => new S3Filesystem(storage, home, { owner: name, windowMs: 60_000 }),
      passivePorts: [0, 0, 0, 0],
    });
    client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.says('TYPE I', /^200 /);
  });
  after(async () => {
    client.destroy();
    await gateway.close();
    await s3.close();
  });

  async function keys(): Promise<string[]> {
    const { Contents = [] } = await s3.client.send(new ListObjectsV2Command({ Bucket: s3.bucket }));
    return Contents.map(({ Key }) => Key!);
  }

  async function content(Key: string): Promise<Buffer> {
    const { Body } = await s3.client.send(new GetObjectCommand({ Bucket: s3.bucket, Key }));
    return Buffer.from(await Body!.transformToByteArray());
  }

  /** Sends a command that may open a data connection; resolves to the last reply and what came over the data connection. */
  async function outcome(
    command: string | Buffer,
    upload?: string,
  ): Promise<{ reply: string; data: string }> {
    const data = await client.passive();
    let received = '';
    data.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
    data.on('error', () => undefined);
    await client.send(Buffer.concat([Buffer.from(command as string), Buffer.from('\r\n')]));
    let reply = await client.reply();
    if (reply.startsWith('150')) {
      const ended = upload === undefined ? undefined : data.end(upload);
      assert.ok(ended === undefined || ended === data);
      reply = await client.reply();
    }
    data.destroy();
    return { reply, data: received };
  }

  for (const pathname of [...escapes, overlong] as const) {
    const shown = JSON.stringify(pathname.toString());
    it(`No command with the pathname ${shown} reads or changes what is outside of the home`, async () => {
      const verbed = (verb: string): Buffer =>
        Buffer.concat([Buffer.from(`${verb} `), Buffer.from(pathname as string)]);
      for (const verb of ['RETR', 'NLST', 'MLST', 'MDTM', 'SIZE', 'STAT', 'HASH', 'CWD']) {
        const { reply, data } = await outcome(verbed(verb));
        assert.ok(!data.includes(secret.toString()), verb);
        // 22 bytes are those of the other user's file.
        assert.doesNotMatch(reply, /^213 22$|Size=22;|^213 SHA/i, `${verb}: ${reply}`);
        await client.says('CWD /', /^250 /);
      }
      for (const verb of ['STOR', 'APPE']) await outcome(verbed(verb), 'overwritten');
      for (const verb of ['DELE', 'RMD', 'MKD', 'RNFR', 'MFMT 20260101000000']) await outcome(verbed(verb));
      await client.says('RNFR own.txt', /^350 /);
      const renamed = await outcome(verbed('RNTO'));
      if (renamed.reply.startsWith('250')) {
        await client.send(Buffer.concat([verbed('RNFR'), Buffer.from('\r\n')]));
        await client.expect(/^350 /);
        await client.says('RNTO own.txt', /^250 /);
      }
      const outside = (await keys()).filter((key) => !key.startsWith('alice/'));
      assert.deepEqual(outside.sort(), ['alice2/secret.txt', 'secret.txt']);
      for (const key of outside) assert.deepEqual(await content(key), secret);
    });
  }

  it('Names with characters that URLs and XML give a meaning to are stored under exactly these names', async () => {
    for (const name of [
      'a?b',
      'a#b',
      'a%b',
      'a%2fb',
      'a;b',
      'a&b',
      'a<b>',
      'a"b',
      "a'b",
      'a+b',
      'a b',
      ' a',
      'a\u2028b',
      'ä',
      '😀',
    ]) {
      const { reply } = await outcome(`STOR ${name}`, name);
      assert.match(reply, /^226 /, name);
      assert.equal((await content(`alice/${name}`)).toString(), name);
      await client.says(`DELE ${name}`, /^250 /);
    }
  });

  it('Names with NUL, and names that are longer than a key, are refused', async () => {
    assert.match((await outcome('STOR a\0b', 'x')).reply, /^50[01] /);
    assert.match((await outcome(`STOR ${'x'.repeat(1_025)}`, 'x')).reply, /^553 /);
  });

  it('Of two uploads of one name at the same time one is stored whole', async () => {
    for (let round = 0; round < 10; round++) {
      const contents = ['1', '2'].map((digit) => Buffer.alloc(300_000, digit));
      await Promise.all(
        contents.map(async (bytes) => {
          const one = await Dialogue.logIn({ port: gateway.controlPort });
          await one.says('TYPE I', /^200 /);
          await one.upload('STOR twice', bytes);
          one.destroy();
        }),
      );
      const stored = await content('alice/twice');
      assert.ok(contents.some((bytes) => bytes.equals(stored)));
    }
  });

  it('Of two uploads of one name by a write-only user at the same time exactly one succeeds', async () => {
    for (let round = 0; round < 10; round++) {
      const replies = await Promise.all(
        ['1', '2'].map(async (digit) => {
          const one = await Dialogue.logIn({ port: gateway.controlPort }, 'dropbox');
          await one.says('TYPE I', /^200 /);
          const data = await one.passive();
          data.on('error', () => undefined);
          await one.send(`STOR drop-${round}\r\n`);
          let reply = await one.reply();
          if (reply.startsWith('150')) {
            data.end(digit.repeat(1_000)).resume();
            reply = await one.reply();
          }
          one.destroy();
          return reply.slice(0, 3);
        }),
      );
      assert.equal(replies.filter((code) => code === '226').length, 1, replies.join());
    }
  });

  it('A file and a file below its name, uploaded at the same time, are each stored whole or refused', async () => {
    for (let round = 0; round < 10; round++) {
      const name = `both-${round}`;
      const replies = await Promise.all(
        [name, `${name}/below`].map(async (pathname) => {
          const one = await Dialogue.logIn({ port: gateway.controlPort });
          const data = await one.passive();
          data.on('error', () => undefined);
          await one.send(`STOR ${pathname}\r\n`);
          let reply = await one.reply();
          if (reply.startsWith('150')) {
            data.end(pathname).resume();
            reply = await one.reply();
          }
          one.destroy();
          return [`alice/${pathname}`, reply.slice(0, 3)] as const;
        }),
      );
      const stored = replies.filter(([, code]) => code === '226').map(([key]) => key);
      assert.ok(
        stored.length > 0 && replies.every(([, code]) => code === '226' || code === '550'),
        replies.join(),
      );
      assert.deepEqual(
        (await keys()).filter((key) => key.startsWith(`alice/${name}`)),
        stored.sort(),
      );
      for (const key of stored) assert.equal(`alice/${(await content(key)).toString()}`, key);
    }
  });
});
