import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { once } from 'node:events';
import { PasswordHash } from '../../../src/users/password.ts';
import { createCertificate, type TestCertificate } from '../../support/certificate.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { GatewayProcess } from '../../support/gateway-process.ts';
import { type SecretsManager, startSecretsManager } from '../topology/secrets-manager.ts';

const usersArn = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:users-AbCdEf';
const certificateArn = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:tls-AbCdEf';
const password = await PasswordHash.create('secret');

let secrets: SecretsManager;
let gateway: GatewayProcess;
let port: number;

function usersDocument(...entries: readonly object[]): string {
  return JSON.stringify({
    users: entries.map((entry) => ({ password, permissions: 'read-write', ...entry })),
  });
}

function certificateDocument({ chain, key }: TestCertificate): string {
  return JSON.stringify({ certificate: chain, privateKey: key });
}

before(async () => {
  secrets = await startSecretsManager();
  secrets.secrets.set(usersArn, usersDocument({ name: 'alice' }));
  secrets.secrets.set(certificateArn, certificateDocument(await createCertificate('first')));
  gateway = new GatewayProcess({
    USERS: `secretsmanager:${usersArn}`,
    RELOAD_INTERVAL_SECONDS: '1',
    TLS: 'optional',
    TLS_CERTIFICATE: `secretsmanager:${certificateArn}`,
    IMPLICIT_TLS_PORT: '0',
    S3_BUCKET: 'homes',
    AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.endpoint,
  });
  ({ controlPort: port } = await gateway.event('gateway-started'));
});

after(async () => {
  assert.equal((await gateway.stop()).code, 0);
  await secrets.close();
});

async function login(name: string): Promise<string> {
  const client = await Dialogue.open({ port });
  await client.expect(/^220 /);
  await client.says(`USER ${name}`, /^331 /);
  const answer = await client.ask('PASS secret');
  client.destroy();
  return answer;
}

async function commonName(): Promise<string> {
  const { implicitTlsPort } = await gateway.event('gateway-started');
  const socket = connectTls({ host: '127.0.0.1', port: implicitTlsPort!, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return String(CN);
}

describe('users and certificate in Secrets Manager', () => {
  it('A user who is added to the secret while the gateway runs can log in', async () => {
    assert.match(await login('alice'), /^230 /);
    assert.match(await login('bob'), /^530 /);
    secrets.secrets.set(usersArn, usersDocument({ name: 'alice' }, { name: 'bob' }));
    await gateway.event('users-loaded', ({ users }) => users === 2);
    assert.match(await login('bob'), /^230 /);
  });

  it('An invalid entry in the users secret locks out only its user and is named in the log', async () => {
    const wrong = { name: 'bob', home: { bucket: 'homes', prefix: 'bob' } };
    secrets.secrets.set(usersArn, usersDocument({ name: 'alice' }, wrong));
    const { problems, level } = await gateway.event('users-loaded', ({ problems }) => problems.length > 0);
    assert.deepEqual(problems, ['users[1] "bob": home.prefix must end in "/": expected "bob/", got "bob"']);
    assert.equal(level, 'warn');
    assert.match(await login('bob'), /^530 /);
    assert.match(await login('alice'), /^230 /);
  });

  it('The gateway keeps the last valid users while the users secret is unusable, and logs the reason', async () => {
    secrets.secrets.set(usersArn, '{"users":');
    const { reason } = await gateway.event('config-reload-failed', ({ config }) => config === 'users');
    assert.equal(
      reason,
      `USERS: the secret ${usersArn} cannot be used: it is not JSON: the mistake is in line 1, column 10`,
    );
    assert.match(await login('alice'), /^230 /);
    secrets.secrets.delete(usersArn);
    await gateway.event('config-reload-failed', ({ reason }) => reason.includes('There is no such secret.'));
    assert.match(await login('alice'), /^230 /);
  });

  it('A renewed certificate in the secret is used for the next session, and a broken one is not', async () => {
    assert.equal(await commonName(), 'first');
    secrets.secrets.set(certificateArn, certificateDocument(await createCertificate('second')));
    let loaded = 0;
    await gateway.event('certificate-loaded', () => ++loaded === 2);
    assert.equal(await commonName(), 'second');
    const mixed = { chain: (await createCertificate()).chain, key: (await createCertificate()).key };
    secrets.secrets.set(certificateArn, certificateDocument(mixed));
    const { reason } = await gateway.event('config-reload-failed', ({ config }) => config === 'certificate');
    assert.doesNotMatch(reason, /PRIVATE/);
    assert.equal(await commonName(), 'second');
  });
});
