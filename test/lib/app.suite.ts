/** What an operator types and what the app answers: environments of cdk.json, the command line, and all problems at once. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Annotations, Match } from 'aws-cdk-lib/assertions';
import { deploymentKeys, parseDeployment } from '../../lib/deployment.ts';
import { resourcesOfType, synthApp } from './synth.ts';

const folder = mkdtempSync(join(tmpdir(), 'ftp-gateway-'));
after(() => rmSync(folder, { recursive: true }));

function listenerPorts(context: Readonly<Record<string, unknown>>): readonly unknown[] {
  return resourcesOfType(synthApp(context).template, 'AWS::ElasticLoadBalancingV2::Listener').map(
    ([, { Properties }]) => Properties['Port'],
  );
}

describe('the app', () => {
  it('The app moves the whole deployment to another passive range by one setting on the command line', () => {
    assert.deepEqual(
      listenerPorts({ passivePorts: '8192-8199' }),
      [21, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199],
    );
    const text = JSON.stringify(synthApp({ passivePorts: '8192-8199' }).template.toJSON());
    assert.doesNotMatch(text, /5000\d/);
  });

  it('The app accepts the number of slots as text and its bounds as JSON from the command line', () => {
    const running = (slots: string) =>
      resourcesOfType(synthApp({ slots }).template, 'AWS::ECS::Service').map(
        ([, { Properties }]) => Properties['DesiredCount'],
      );
    assert.deepEqual(running('4'), [1, 1, 1, 1]);
    assert.deepEqual(running('{"minimum":1,"maximum":3}'), [1, 0, 0, 0]);
  });

  it('The app enables resuming of interrupted uploads by one setting on the command line', () => {
    const { template } = synthApp({ resumeWindowMinutes: '240' });
    assert.match(JSON.stringify(template.toJSON()), /"Name":"RESUME_WINDOW_MINUTES","Value":"240"/);
    assert.throws(() => synthApp({ resumeWindowMinutes: '-1' }), /-c resumeWindowMinutes: /);
  });

  it('The app keeps the file times of clients by one setting on the command line, and leaves them out by default', () => {
    assert.doesNotMatch(JSON.stringify(synthApp({}).template.toJSON()), /FILE_TIMES/);
    const { template } = synthApp({ fileTimes: 'client' });
    assert.match(JSON.stringify(template.toJSON()), /"Name":"FILE_TIMES","Value":"client"/);
    assert.throws(() => synthApp({ fileTimes: 'both' }), /-c fileTimes: /);
  });

  it('The app creates the stack of the requested environment', () => {
    const { stack, template } = synthApp({ environment: 'staging' });
    assert.equal(stack.stackName, 'ftp-gateway-staging');
    template.resourceCountIs('AWS::ECS::Service', 2);
    // Tasks in public subnets reach AWS without interface endpoints; only the free gateway endpoints stay.
    template.resourceCountIs('AWS::EC2::VPCEndpoint', 2);
    template.allResourcesProperties('AWS::ECS::Service', {
      NetworkConfiguration: { AwsvpcConfiguration: { AssignPublicIp: 'ENABLED' } },
    });
  });

  it('The app lists the environments when it has none with the requested name', () => {
    assert.throws(
      () => synthApp({ environment: 'prod' }),
      /no environment "prod"; it has production, staging/,
    );
  });

  it('The app uses an existing VPC, bucket, secrets, addresses and zone without a lookup in the account', () => {
    const { template, stack } = synthApp({
      network: {
        vpcId: 'vpc-0123456789abcdef0',
        zones: [
          {
            availabilityZone: 'eu-central-1a',
            loadBalancerSubnetId: 'subnet-0123456789abcdef0',
            loadBalancerSubnetCidr: '10.0.0.0/24',
            taskSubnetId: 'subnet-0123456789abcdef1',
          },
        ],
      },
      elasticIps: [{ allocationId: 'eipalloc-0123456789abcdef0', address: '203.0.113.10' }],
      bucketName: 'partner-files',
      usersSecretArn: 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:users-AbCdEf',
      tls: { certificateSecretArn: 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:cert-AbCdEf' },
      domain: { zoneName: 'example.com', hostedZoneId: 'Z1', recordName: 'ftp' },
      alarmEmail: 'ops@example.com',
    });
    Annotations.fromStack(stack).hasNoWarning('*', Match.anyValue());
    for (const type of ['EC2::VPC', 'EC2::EIP', 'S3::Bucket', 'SecretsManager::Secret']) {
      template.resourceCountIs(`AWS::${type}`, 0);
    }
    template.hasResourceProperties('AWS::Route53::RecordSet', { Name: 'ftp.example.com.', Type: 'A' });
    template.hasResourceProperties('AWS::SNS::Subscription', {
      Protocol: 'email',
      Endpoint: 'ops@example.com',
    });
    template.hasOutput('TryIt', { Value: 'curl --ssl-reqd --user NAME -T FILE ftp://ftp.example.com/' });
    template.hasOutput('FirewallRule', { Value: 'TCP to 203.0.113.10, ports 21, 50000-50007' });
    assert.match(JSON.stringify(template.toJSON()), /"10\.0\.0\.0\/24=203\.0\.113\.10"/);
  });

  it('The app refuses to move ports between slots with running sessions, based on what is deployed', () => {
    const slot = (firstPort: number, zone: number) => ({ firstPort, ports: 2, zone, running: true });
    const deployed = [slot(50_000, 1), slot(50_002, 2)];
    assert.throws(
      () => synthApp({ passivePorts: '50000-50003', portsPerSlot: '4' }, deployed),
      /gives ports 50002, 50003 to another slot/,
    );
    synthApp({ passivePorts: '50000-50011' }, deployed);
    synthApp({ passivePorts: '50000-50003', portsPerSlot: '4', acceptPassivePortMove: 'true' }, deployed);
  });

  it('The app suggests the setting that a misspelled key on the command line may mean', () => {
    assert.throws(
      () => synthApp({ pasivePorts: '1' }),
      /^Error: -c pasivePorts: unknown setting; did you mean passivePorts\?$/,
    );
    assert.throws(() => synthApp({ enviroment: 'staging' }), /did you mean environment\?$/);
  });

  it('The app reports an invalid value on the command line as such, and not as one in cdk.json', () => {
    assert.throws(
      () => synthApp({ passivePorts: '50007-50000' }),
      (error: Error) => {
        assert.match(error.message, /^-c passivePorts: .*Write the lower port first/);
        assert.doesNotMatch(error.message, /cdk\.json/);
        return true;
      },
    );
  });

  it('The app uses the zones that are named, and refuses more zones than there are', () => {
    const { template } = synthApp({ availabilityZones: ['us-east-1a', 'us-east-1b', 'us-east-1d'] });
    assert.deepEqual(
      new Set(
        resourcesOfType(template, 'AWS::EC2::Subnet').map(
          ([, { Properties }]) => Properties['AvailabilityZone'],
        ),
      ),
      new Set(['us-east-1a', 'us-east-1b', 'us-east-1d']),
    );
    assert.throws(
      () => synthApp({ zoneCount: '3' }),
      /There are 2 availability zones to choose from, but zoneCount is 3.*availabilityZones/,
    );
  });

  it('The app protects the production stack from deletion, but not the staging stack', () => {
    assert.equal(synthApp().stack.terminationProtection, true);
    assert.equal(synthApp({ environment: 'staging' }).stack.terminationProtection, false);
  });
});

describe('an environment', () => {
  it('An environment may be empty, because every setting has a usable default', () => {
    const deployment = parseDeployment('production', {});
    assert.equal(deployment.passivePorts.toString(), '50000-50007');
    assert.equal(deployment.taskEgress, 'endpoints');
  });

  it('An environment may contain comments anywhere', () => {
    assert.equal(parseDeployment('x', { '//cpu': 'why', cpu: 1024, tls: undefined }).cpu, 1024);
  });

  it('An environment is refused with all problems together, each with its setting', () => {
    assert.throws(
      () =>
        parseDeployment('production', {
          account: 12,
          passivePorts: '50007-50000',
          clientCidrs: ['everyone'],
          passivePort: 21,
          logRetentionDays: 91,
          tls: { certificateSecretArn: 'cert' },
        }),
      (error: Error) => {
        for (const part of [
          /The environment "production" in cdk.json is invalid/,
          /account: /,
          /passivePorts: .*Write the lower port first: 50000-50007/,
          /clientCidrs\.0: expected an IPv4 CIDR/,
          /passivePort: unknown setting; did you mean passivePorts\?/,
          /logRetentionDays: CloudWatch Logs keeps/,
          /tls\.certificateSecretArn: expected the full ARN of a secret/,
        ]) {
          assert.match(error.message, part);
        }
        return true;
      },
    );
  });

  for (const [what, values, commandLine, problem] of [
    [
      'a misspelled name inside a setting',
      { drain: { idleSecond: 3 } },
      {},
      /^ {2}drain\.idleSecond: unknown setting; did you mean idleSeconds\?$/m,
    ],
    [
      'a misspelled name in a list of objects',
      { elasticIps: [{ allocationId: 'eipalloc-1', address: '203.0.113.10', adress: '' }] },
      {},
      /^ {2}elasticIps\.0\.adress: unknown setting; did you mean address\?$/m,
    ],
    [
      'a misspelled name inside a setting of the command line',
      {},
      { tls: { mod: 'required' } },
      /^-c tls\.mod: unknown setting; did you mean mode\?$/,
    ],
    [
      'a wrong value inside a setting that has several forms',
      { tls: { mode: 'requird' } },
      {},
      /^ {2}tls\.mode: Invalid option: expected one of "optional"\|"required"$/m,
    ],
  ] as const) {
    it(`An environment with ${what} is refused with the full name of the setting`, () => {
      assert.throws(
        () => parseDeployment('production', values, commandLine),
        (error: Error) => {
          assert.match(error.message, problem);
          return true;
        },
      );
    });
  }

  it('Every setting of an environment is explained in docs/operations.md', async () => {
    const { readFile } = await import('node:fs/promises');
    const text = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8');
    for (const key of deploymentKeys) assert.match(text, new RegExp(`\\| \`${key}\` +\\|`), key);
  });
});
