/** Every variable of the gateway can be set through the construct and cdk.json, or follows from the deployment. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Duration } from 'aws-cdk-lib';
import { ownVariables, settingsEnvironment } from '../../lib/gateway-settings.ts';
import { variables } from '../../src/config/variables.ts';
import { resourcesOfType, synthApp, synthGateway } from './synth.ts';

const names = Object.values(variables).map(({ name }) => name);

/** Values of which every variable accepts one. */
const samples = [
  '1',
  '32',
  'on',
  'true',
  'off',
  'https://s3.example.com',
  'file:users.json',
  '127.0.0.1',
  'in/',
];

function accepts(variable: { parse(text: string): unknown }, sample: string): boolean {
  try {
    variable.parse(sample);
    return true;
  } catch {
    return false;
  }
}

function environment(template: ReturnType<typeof synthApp>['template']): Readonly<Record<string, string>> {
  const [, task] = resourcesOfType(template, 'AWS::ECS::TaskDefinition')[0]!;
  const [container] = task.Properties['ContainerDefinitions'] as [
    { Environment: readonly { Name: string; Value: string }[] },
  ];
  return Object.fromEntries(container.Environment.map(({ Name, Value }) => [Name, Value]));
}

describe('the settings of the gateway', () => {
  for (const name of names) {
    it(`The variable ${name} can be set by a property of the construct or in its environment`, () => {
      if (name in ownVariables) return;
      const variable = Object.values(variables).find((one) => one.name === name)!;
      const { presence } = variable;
      const candidates = typeof presence === 'object' ? [presence.default] : samples;
      const value = candidates.find((sample) => accepts(variable, sample));
      assert.ok(value !== undefined, 'no sample is a value of it');
      assert.equal(settingsEnvironment({ environment: { [name]: value } })[name], value);
    });
  }

  it('Every variable that the construct sets exists in the gateway', () => {
    for (const name of Object.keys(ownVariables)) assert.ok(names.includes(name), name);
  });

  it('Settings in cdk.json reach the environment of the tasks', () => {
    const made = environment(
      synthApp({
        limits: {
          sessions: 100,
          sessionsPerAddress: 50,
          sessionsPerUser: 40,
          unauthenticated: 30,
          unauthenticatedPerAddress: 20,
          loginAttempts: 2,
          loginFailures: 5,
        },
        commands: { modeZ: false, hash: 'false', listRecursive: true },
        timeouts: {
          loginSeconds: 30,
          idleSeconds: 600,
          dataConnectionSeconds: 20,
          passivePortWaitSeconds: 5,
          stallSeconds: 120,
          loginBanSeconds: 60,
          reloadIntervalSeconds: 30,
        },
        drain: { propagationSeconds: 200, idleSeconds: 120, maximumHours: 12 },
        logLevel: 'debug',
        variables: { ABANDONED_UPLOAD_HOURS: '48' },
        tls: {
          certificateSecretArn: 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:cert-AbCdEf',
          minimumVersion: 'TLSv1.3',
          dataResumption: 'required',
        },
      }).template,
    );
    for (const [name, value] of Object.entries({
      MAX_SESSIONS: '100',
      MAX_SESSIONS_PER_ADDRESS: '50',
      MAX_SESSIONS_PER_USER: '40',
      MAX_UNAUTHENTICATED: '30',
      MAX_UNAUTHENTICATED_PER_ADDRESS: '20',
      MODE_Z: 'off',
      HASH: 'off',
      LIST_RECURSIVE: 'on',
      OPERATIONS_ADDRESS: '0.0.0.0',
      MAX_LOGIN_ATTEMPTS: '2',
      MAX_LOGIN_FAILURES: '5',
      LOGIN_TIMEOUT_SECONDS: '30',
      IDLE_TIMEOUT_SECONDS: '600',
      DATA_CONNECTION_TIMEOUT_SECONDS: '20',
      PASSIVE_PORT_WAIT_SECONDS: '5',
      STALL_TIMEOUT_SECONDS: '120',
      LOGIN_BAN_SECONDS: '60',
      RELOAD_INTERVAL_SECONDS: '30',
      DRAIN_PROPAGATION_SECONDS: '200',
      DRAIN_IDLE_SECONDS: '120',
      DRAIN_MAX_HOURS: '12',
      LOG_LEVEL: 'debug',
      ABANDONED_UPLOAD_HOURS: '48',
      TLS_MIN_VERSION: 'TLSv1.3',
      TLS_DATA_RESUMPTION: 'required',
    })) {
      assert.equal(made[name], value, name);
    }
  });

  it('Properties of the construct reach the environment of the tasks', () => {
    const { template } = synthGateway({ timeouts: { idle: Duration.minutes(5) }, limits: { sessions: 7 } });
    assert.equal(environment(template)['IDLE_TIMEOUT_SECONDS'], '300');
    assert.equal(environment(template)['MAX_SESSIONS'], '7');
  });

  it('A command that the construct does not name keeps the default of the gateway', () => {
    const { template } = synthGateway({ commands: { hash: false } });
    const { HASH, MODE_Z, LIST_RECURSIVE } = environment(template);
    assert.deepEqual([HASH, MODE_Z, LIST_RECURSIVE], ['off', undefined, undefined]);
  });

  it('Synth rejects a switch of cdk.json that is neither true nor false, and one that does not exist', () => {
    assert.throws(() => synthApp({ commands: { modeZ: 'off' } }), /commands\.modeZ: /);
    assert.throws(() => synthApp({ commands: { modeX: false } }), /commands.*modeX/s);
  });

  for (const [what, settings, problem] of [
    [
      'a variable that another property sets',
      { environment: { MAX_SESSIONS: '1' } },
      /MAX_SESSIONS cannot be set in environment: use limits\.sessions/,
    ],
    [
      'a variable that follows from the load balancer',
      { environment: { PROXY_PROTOCOL: 'off' } },
      /PROXY_PROTOCOL cannot be set in environment: it follows from the load balancer/,
    ],
    [
      'a switch that has a property of its own',
      { environment: { HASH: 'off' } },
      /HASH cannot be set in environment: use commands\.hash/,
    ],
    [
      'the address of the operations port, which health checks come to from outside of the container',
      { environment: { OPERATIONS_ADDRESS: '127.0.0.1' } },
      /OPERATIONS_ADDRESS cannot be set in environment: it follows from the container/,
    ],
    ['an unknown variable', { environment: { MAX_SESION: '1' } }, /has no variable MAX_SESION/],
    ['a value that the gateway would reject', { limits: { sessions: 0 } }, /^Error: MAX_SESSIONS: /],
  ] as const) {
    it(`Synth rejects gateway settings with ${what}`, () => {
      assert.throws(() => settingsEnvironment(settings), problem);
    });
  }
});
