/** The function that exports a certificate, run as it is against a stand-in of the two APIs that it calls; and its resources. */
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Certificate } from 'aws-cdk-lib/aws-certificatemanager';
import { HostedZone } from 'aws-cdk-lib/aws-route53';
import { generate } from 'selfsigned';
import { secretSource } from '../../src/util/watched-document.ts';
import { openCertificateSecret } from '../../src/tls/certificate-secret.ts';
import { createSessionContext, defaultCiphers } from '../../src/tls/context.ts';
import { dependsOn, resourcesOfType, synthApp, synthGateway } from './synth.ts';

const certificateArn = 'arn:aws:acm:eu-central-1:111122223333:certificate/0123';
const secretArn = 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:cert-AbCdEf';

type Request = { readonly target: string; readonly body: Readonly<Record<string, string>> };

/** ACM and Secrets Manager: the key leaves it encrypted with the passphrase of the request, and the secret keeps its value. */
class Apis {
  readonly requests: Request[] = [];
  secret: string | undefined;
  certificate = '';
  #privateKey = '';
  readonly server: Server = createServer((request, response) => {
    void (async () => {
      let text = '';
      for await (const chunk of request) text += String(chunk);
      const target = String(request.headers['x-amz-target']);
      const body = JSON.parse(text) as Record<string, string>;
      this.requests.push({ target, body });
      const [status, answer] = this.#answer(target, body);
      response.statusCode = status;
      response.setHeader('content-type', 'application/x-amz-json-1.1');
      response.end(JSON.stringify(answer));
    })();
  });

  async issue(): Promise<void> {
    const { cert, private: privateKey } = await generate([{ name: 'commonName', value: 'ftp.example.com' }], {
      keyType: 'ec',
    });
    this.certificate = cert;
    this.#privateKey = privateKey;
  }

  #answer(target: string, body: Record<string, string>): readonly [number, object] {
    switch (target) {
      case 'CertificateManager.ExportCertificate':
        assert.equal(body['CertificateArn'], certificateArn);
        return [
          200,
          {
            Certificate: this.certificate,
            CertificateChain: '',
            PrivateKey: createPrivateKey(this.#privateKey).export({
              type: 'pkcs8',
              format: 'pem',
              cipher: 'aes-256-cbc',
              passphrase: Buffer.from(body['Passphrase'] ?? '', 'base64').toString(),
            }),
          },
        ];
      case 'secretsmanager.GetSecretValue':
        return this.secret === undefined
          ? [400, { __type: 'ResourceNotFoundException', message: 'no value' }]
          : [200, { ARN: secretArn, Name: 'cert', VersionId: '1', SecretString: this.secret }];
      case 'secretsmanager.PutSecretValue':
        this.secret = body['SecretString'];
        return [200, {}];
      default:
        return [400, { __type: 'UnknownOperationException' }];
    }
  }
}

describe('the export of a certificate', () => {
  const apis = new Apis();
  let handler: () => Promise<{ changed: boolean }>;
  const environment = { ...process.env };

  before(async () => {
    await apis.issue();
    apis.server.listen(0, '127.0.0.1');
    await once(apis.server, 'listening');
    const endpoint = `http://127.0.0.1:${(apis.server.address() as AddressInfo).port}`;
    Object.assign(process.env, {
      CERTIFICATE_ARN: certificateArn,
      SECRET_ARN: secretArn,
      AWS_ENDPOINT_URL: endpoint,
      AWS_REGION: 'eu-central-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    });
    const path = new URL('../../lib/lambda/certificate-export/index.mjs', import.meta.url).href;
    ({ handler } = (await import(path)) as { handler: typeof handler });
  });
  after(() => {
    // Other suites of the construct run in the same process.
    process.env = environment;
    apis.server.closeAllConnections();
    apis.server.close();
  });

  it('The certificate export writes the chain and the decrypted key to the secret in the format that tasks read', async () => {
    assert.deepEqual(await handler(), { changed: true });
    assert.match(apis.secret ?? '', /-----BEGIN PRIVATE KEY-----/);
    assert.doesNotMatch(apis.secret ?? '', /ENCRYPTED/);
    const secret = await openCertificateSecret(secretSource(secretArn), {
      refreshMs: 60_000,
      observe: () => undefined,
    });
    // Throws where certificate and key do not belong together.
    createSessionContext(secret.current, {
      tlsMinVersion: 'TLSv1.2',
      tlsCiphers: defaultCiphers,
      tlsDataResumption: 'optional',
    });
    secret.close();
  });

  it('The certificate export uses a new passphrase of 43 characters that ACM accepts for each export', async () => {
    await handler();
    const passphrases = apis.requests
      .filter(({ target }) => target.endsWith('ExportCertificate'))
      .map(({ body }) => Buffer.from(body['Passphrase'] ?? '', 'base64').toString());
    assert.equal(new Set(passphrases).size, 2);
    for (const passphrase of passphrases) assert.match(passphrase, /^[\w-]{43}$/);
  });

  it('The certificate export writes a new version of the secret only after the certificate was renewed', async () => {
    assert.deepEqual(await handler(), { changed: false });
    const before = apis.secret;
    await apis.issue();
    assert.deepEqual(await handler(), { changed: true });
    assert.notEqual(apis.secret, before);
  });
});

describe('a gateway with a domain', () => {
  const domain = { zoneName: 'example.com', hostedZoneId: 'Z1', recordName: 'ftp' };
  const { template } = synthApp({ domain });

  it('A gateway with a domain serves FTPS with an exportable, DNS-validated certificate for its name', () => {
    template.hasResourceProperties('AWS::CertificateManager::Certificate', {
      DomainName: 'ftp.example.com',
      CertificateExport: 'ENABLED',
      ValidationMethod: 'DNS',
    });
    assert.match(JSON.stringify(template.toJSON()), /"TLS","Value":"required"/);
  });

  it('A gateway with a domain starts no task before the first export of its certificate', () => {
    const [[trigger]] = resourcesOfType(template, 'Custom::Trigger') as [[string, unknown]];
    for (const [id] of resourcesOfType(template, 'AWS::ECS::Service')) {
      assert.ok(dependsOn(template, id).has(trigger), id);
    }
  });

  it('A gateway with a domain exports its certificate after each renewal by ACM, and once a day', () => {
    const [[certificate]] = resourcesOfType(template, 'AWS::CertificateManager::Certificate') as [
      [string, unknown],
    ];
    template.hasResourceProperties('AWS::Events::Rule', {
      EventPattern: {
        source: ['aws.acm'],
        'detail-type': ['ACM Certificate Available'],
        resources: [{ Ref: certificate }],
      },
    });
    template.hasResourceProperties('AWS::Events::Rule', { ScheduleExpression: 'rate(1 day)' });
  });

  it('The certificate export may export only its own certificate and write only its own secret', () => {
    const [[certificate]] = resourcesOfType(template, 'AWS::CertificateManager::Certificate') as [
      [string, unknown],
    ];
    template.hasResourceProperties('AWS::IAM::Policy', {
      PolicyDocument: {
        Statement: [
          { Action: 'acm:ExportCertificate', Resource: { Ref: certificate } },
          {
            Action: [
              'secretsmanager:DescribeSecret',
              'secretsmanager:GetSecretValue',
              'secretsmanager:PutSecretValue',
              'secretsmanager:UpdateSecret',
              'secretsmanager:UpdateSecretVersionStage',
            ],
          },
        ],
      },
    });
  });

  it('A gateway with a domain serves clear text when TLS is off', () => {
    const { template: clear } = synthApp({ domain, tls: 'off' });
    clear.resourceCountIs('AWS::CertificateManager::Certificate', 0);
    assert.match(JSON.stringify(clear.toJSON()), /"TLS","Value":"off"/);
  });
});

describe('a gateway with a certificate of AWS Certificate Manager', () => {
  it('A gateway with a certificate of AWS Certificate Manager exports it and requests no other', () => {
    const { template } = synthGateway((stack) => ({
      tls: { certificate: Certificate.fromCertificateArn(stack, 'Own', certificateArn) },
    }));
    template.resourceCountIs('AWS::CertificateManager::Certificate', 0);
    template.hasResourceProperties('AWS::Lambda::Function', {
      Environment: { Variables: { CERTIFICATE_ARN: certificateArn } },
    });
  });

  it('A gateway with TLS and a domain requests a certificate for the name of the zone', () => {
    const { template } = synthGateway((stack) => ({
      tls: {},
      domain: {
        zone: HostedZone.fromHostedZoneAttributes(stack, 'Zone', {
          zoneName: 'example.com',
          hostedZoneId: 'Z1',
        }),
      },
    }));
    template.hasResourceProperties('AWS::CertificateManager::Certificate', { DomainName: 'example.com' });
  });
});
