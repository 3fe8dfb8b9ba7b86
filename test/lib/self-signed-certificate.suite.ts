/** FTPS without any setting: the function that makes a certificate once, run as it is against stand-ins; and its resources. */
import assert from 'node:assert/strict';
import { createPrivateKey, createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { Annotations, Match } from 'aws-cdk-lib/assertions';
import { Peer } from 'aws-cdk-lib/aws-ec2';
import { Certificate } from 'aws-cdk-lib/aws-certificatemanager';
import { createSessionContext, defaultCiphers } from '../../src/tls/context.ts';
import { certificateIn, dependsOn, resourcesOfType, synthApp, synthGateway } from './synth.ts';

type Pair = { readonly certificate: string; readonly privateKey: string };
type Outcome = {
  readonly Status: string;
  readonly PhysicalResourceId: string;
  readonly Reason?: string;
  readonly Data?: { readonly Fingerprint: string; readonly PublicKeyPin: string };
};

const lambda = '../../lib/lambda/self-signed-certificate';
const { selfSignedCertificate } = (await import(new URL(`${lambda}/x509.mjs`, import.meta.url).href)) as {
  readonly selfSignedCertificate: (names: readonly string[], now?: Date) => Pair;
};

const names = ['gateway-0123456789abcdef.elb.eu-central-1.amazonaws.com', '203.0.113.10', '203.0.113.11'];

describe('a self-signed certificate', () => {
  const { certificate, privateKey } = selfSignedCertificate(names);
  const parsed = new X509Certificate(certificate);

  it('A self-signed certificate names the host and every address, and fits its key', () => {
    for (const name of names) {
      assert.equal(/^[\d.]+$/.test(name) ? parsed.checkIP(name) : parsed.checkHost(name), name);
    }
    assert.equal(parsed.checkIP('203.0.113.12'), undefined);
    assert.ok(parsed.checkPrivateKey(createPrivateKey(privateKey)));
    assert.ok(parsed.verify(parsed.publicKey));
  });

  it('A self-signed certificate is valid for ten years and cannot issue others', () => {
    const years = (Date.parse(parsed.validTo) - Date.now()) / (365.25 * 24 * 3600_000);
    assert.ok(years > 9.9 && years < 10, String(years));
    assert.ok(Date.parse(parsed.validFrom) < Date.now());
    assert.equal(parsed.ca, false);
    assert.deepEqual(parsed.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  });

  it('Two self-signed certificates have different keys and serial numbers', () => {
    const other = new X509Certificate(selfSignedCertificate(names).certificate);
    assert.notEqual(other.serialNumber, parsed.serialNumber);
    assert.notEqual(other.fingerprint256, parsed.fingerprint256);
  });

  it('A self-signed certificate that ends after 2049 has its time in the four-digit form', () => {
    const late = new X509Certificate(
      selfSignedCertificate(names, new Date('2041-03-02T01:02:03Z')).certificate,
    );
    assert.equal(new Date(late.validTo).toISOString(), '2051-02-28T01:02:03.000Z');
    assert.equal(new Date(late.validFrom).toISOString(), '2041-03-01T01:02:03.000Z');
  });

  it('A client that trusts the self-signed certificate completes a handshake with the TLS context of a session', async () => {
    const secureContext = createSessionContext(
      { chain: certificate, key: privateKey },
      { tlsMinVersion: 'TLSv1.2', tlsCiphers: defaultCiphers, tlsDataResumption: 'optional' },
    );
    const server = createTcpServer((socket) => {
      const secured = new TLSSocket(socket, { isServer: true, secureContext });
      secured.on('secure', () => secured.end('220 ready')).on('error', () => undefined);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    try {
      const dial = (host: string) =>
        connectTls({ socket: connect(port, '127.0.0.1'), host, ca: certificate });
      assert.equal(await text(dial('203.0.113.10')), '220 ready');
      await assert.rejects(text(dial('203.0.113.12')), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    } finally {
      server.close();
    }
  });
});

/** Secrets Manager, and the address at which CloudFormation takes the outcome of a request. */
class Apis {
  secret: string | undefined;
  puts = 0;
  isDenied = false;
  readonly outcomes: Outcome[] = [];
  readonly server: Server = createServer((request, response) => void this.#answer(request, response));

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = JSON.parse(await text(request)) as Record<string, string>;
    if (request.method === 'PUT') {
      assert.equal(request.headers['content-type'], '');
      this.outcomes.push(body as unknown as Outcome);
      response.end();
      return;
    }
    response.setHeader('content-type', 'application/x-amz-json-1.1');
    if (this.isDenied) {
      response.statusCode = 400;
      response.end(JSON.stringify({ __type: 'AccessDeniedException', message: 'not allowed' }));
    } else if (request.headers['x-amz-target'] === 'secretsmanager.PutSecretValue') {
      this.secret = body['SecretString'];
      this.puts += 1;
      response.end('{}');
    } else if (this.secret === undefined) {
      response.statusCode = 400;
      response.end(JSON.stringify({ __type: 'ResourceNotFoundException', message: 'no value' }));
    } else {
      response.end(JSON.stringify({ SecretString: this.secret }));
    }
  }
}

describe('the function that makes a self-signed certificate', () => {
  const secretArn = 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:certificate-AbCdEf';
  const environment = { ...process.env };
  const apis = new Apis();
  let handler: (event: unknown) => Promise<void>;
  let endpoint: string;

  before(async () => {
    apis.server.listen(0, '127.0.0.1');
    await once(apis.server, 'listening');
    endpoint = `http://127.0.0.1:${(apis.server.address() as AddressInfo).port}`;
    Object.assign(process.env, {
      AWS_ENDPOINT_URL: endpoint,
      AWS_REGION: 'eu-central-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    });
    ({ handler } = (await import(new URL(`${lambda}/index.mjs`, import.meta.url).href)) as {
      handler: typeof handler;
    });
  });
  after(() => {
    process.env = environment;
    apis.server.closeAllConnections();
    apis.server.close();
  });

  async function request(RequestType: string, PhysicalResourceId?: string): Promise<Outcome> {
    await handler({
      RequestType,
      PhysicalResourceId,
      ResponseURL: `${endpoint}/outcome`,
      StackId: 'stack',
      RequestId: 'request',
      LogicalResourceId: 'Certificate',
      ResourceProperties: { SecretArn: secretArn, Names: names },
    });
    return apis.outcomes.at(-1)!;
  }

  it('The function replaces the random text of a new secret with a certificate and returns its fingerprint and pin', async () => {
    apis.secret = 'a random password';
    const { Status, PhysicalResourceId, Data } = await request('Create');
    assert.deepEqual([Status, PhysicalResourceId], ['SUCCESS', secretArn]);
    const { certificate } = JSON.parse(apis.secret) as Pair;
    const parsed = new X509Certificate(certificate);
    assert.equal(Data?.Fingerprint, parsed.fingerprint256);
    const key = parsed.publicKey.export({ type: 'spki', format: 'der' });
    assert.equal(Data.PublicKeyPin, `sha256//${createHash('sha256').update(key).digest('base64')}`);
  });

  it('The function keeps the certificate of the secret in every later deployment', async () => {
    const [before, puts] = [apis.secret, apis.puts];
    const first = await request('Update', secretArn);
    const second = await request('Create');
    assert.deepEqual([apis.secret, apis.puts], [before, puts]);
    assert.deepEqual(first.Data, second.Data);
  });

  it('The function returns the fingerprint of a certificate that an operator has put into the secret', async () => {
    const own = selfSignedCertificate(['ftp.example.com']);
    apis.secret = JSON.stringify(own);
    const { Data } = await request('Update', secretArn);
    assert.equal(Data?.Fingerprint, new X509Certificate(own.certificate).fingerprint256);
    assert.equal(apis.secret, JSON.stringify(own));
  });

  it('The function makes a certificate in a secret that has no value, and leaves a secret alone that is deleted', async () => {
    apis.secret = undefined;
    assert.equal((await request('Create')).Status, 'SUCCESS');
    const before = apis.secret as string | undefined;
    assert.equal((await request('Delete', secretArn)).Status, 'SUCCESS');
    assert.equal(apis.secret, before);
  });

  it('The function reports a failure to CloudFormation, which then does not wait for an hour', async () => {
    apis.isDenied = true;
    const { Status, Reason, PhysicalResourceId } = await request('Create');
    assert.deepEqual([Status, Reason, PhysicalResourceId], ['FAILED', 'not allowed', secretArn]);
  });
});

describe('a gateway without a certificate of its own', () => {
  const { template } = synthGateway();
  const [[made, resource]] = resourcesOfType(template, 'Custom::SelfSignedCertificate') as unknown as [
    [
      string,
      { readonly Properties: { readonly Names: unknown; readonly SecretArn: { readonly Ref: string } } },
    ],
  ];

  it('A gateway without any setting offers FTPS with a self-signed certificate and leaves TLS to the client', () => {
    const text = JSON.stringify(template.toJSON());
    assert.match(text, /"Name":"TLS","Value":"optional"/);
    const [balancer] = resourcesOfType(template, 'AWS::ElasticLoadBalancingV2::LoadBalancer')[0]!;
    const addresses = resourcesOfType(template, 'AWS::EC2::EIP').map(([id]) => ({
      'Fn::GetAtt': [id, 'PublicIp'],
    }));
    assert.deepEqual(resource.Properties.Names, [{ 'Fn::GetAtt': [balancer, 'DNSName'] }, ...addresses]);
  });

  it('A gateway starts no task before its self-signed certificate exists', () => {
    for (const [id] of resourcesOfType(template, 'AWS::ECS::Service')) {
      assert.ok(dependsOn(template, id).has(made), id);
    }
  });

  it('The secret of a self-signed certificate is kept when the stack is deleted, and only its function may write it', () => {
    const secrets = resourcesOfType(template, 'AWS::SecretsManager::Secret');
    const [, secret] = secrets.find(([id]) => id === resource.Properties.SecretArn.Ref)!;
    assert.equal(secret.DeletionPolicy, 'RetainExceptOnCreate');
    const writers = resourcesOfType(template, 'AWS::IAM::Policy').filter(([, { Properties }]) =>
      JSON.stringify(Properties).includes('secretsmanager:PutSecretValue'),
    );
    assert.deepEqual(writers.length, 1);
    assert.match(writers[0]![0], /SelfSignedCertificateFunction/);
  });

  it('The outputs of a gateway with a self-signed certificate have its fingerprint, and a first upload that pins its key', () => {
    const { template: app } = synthApp();
    const [[id]] = resourcesOfType(app, 'Custom::SelfSignedCertificate') as [[string, unknown]];
    app.hasOutput('CertificateFingerprint', { Value: { 'Fn::GetAtt': [id, 'Fingerprint'] } });
    app.hasOutput('TryIt', {
      Value: {
        'Fn::Join': [
          '',
          Match.arrayWith([
            'curl --ssl-reqd --insecure --pinnedpubkey ',
            { 'Fn::GetAtt': [id, 'PublicKeyPin'] },
          ]),
        ],
      },
    });
  });

  it('TLS with a self-signed certificate can be required, and clear text can be chosen', () => {
    assert.match(JSON.stringify(synthApp({ tls: {} }).template.toJSON()), /"TLS","Value":"required"/);
    const { template: clear } = synthApp({ tls: 'off' });
    clear.resourceCountIs('Custom::SelfSignedCertificate', 0);
    assert.match(JSON.stringify(clear.toJSON()), /"TLS","Value":"off"/);
  });

  it('A gateway with a certificate of its own has no self-signed one', () => {
    for (const certificate of [
      certificateIn,
      (stack: Parameters<typeof certificateIn>[0]) =>
        Certificate.fromCertificateArn(
          stack,
          'Own',
          'arn:aws:acm:eu-central-1:111122223333:certificate/0123',
        ),
    ]) {
      const { template: own } = synthGateway((stack) => ({ tls: { certificate: certificate(stack) } }));
      own.resourceCountIs('Custom::SelfSignedCertificate', 0);
      assert.deepEqual(own.findOutputs('*CertificateFingerprint*'), {});
    }
  });

  it('An internal gateway has a self-signed certificate for its name alone', () => {
    const { template: internal } = synthGateway({ internetFacing: false });
    const [, { Properties }] = resourcesOfType(internal, 'Custom::SelfSignedCertificate')[0]!;
    assert.equal((Properties['Names'] as readonly unknown[]).length, 1);
  });
});

describe('the warnings of clear text', () => {
  const warnings = (...props: Parameters<typeof synthGateway>) =>
    Annotations.fromStack(synthGateway(...props).stack)
      .findWarning('*', Match.stringLikeRegexp('clear text'))
      .map(({ entry }) => entry.data as string);

  it('Synth warns of logins in clear text from anywhere, and says how to prevent them', () => {
    const [warning, ...others] = warnings();
    assert.deepEqual(others, []);
    assert.match(
      warning ?? '',
      /^Clients from 0\.0\.0\.0\/0 may log in in clear text.*tls\.mode to required.*limit clients \(clientCidrs/,
    );
  });

  it('Synth does not warn of clear text where TLS is required, or only named networks may connect', () => {
    assert.deepEqual(warnings({ tls: { mode: 'required' } }), []);
    assert.deepEqual(warnings({ clients: [Peer.ipv4('203.0.113.0/24')] }), []);
  });

  it('Synth warns of clear text where TLS is off, whichever clients may connect', () => {
    assert.match(
      warnings({ tls: 'off', clients: [Peer.ipv4('203.0.113.0/24')] }).join(),
      /cross the network in clear text: tls is off/,
    );
  });
});
