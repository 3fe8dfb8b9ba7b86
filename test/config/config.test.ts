import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError, type Environment, parseConfig } from '../../src/config/config.ts';

const users = { USERS: 'file:users.json' };

function problemsOf(environment: Environment): readonly string[] {
  try {
    parseConfig({ ...users, ...environment });
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
  return [];
}

describe('configuration', () => {
  it('The configuration needs only the users and has a default for everything else', () => {
    const config = parseConfig(users);
    assert.deepEqual(config.users, { kind: 'file', path: 'users.json' });
    assert.equal(config.controlPort, 21);
    assert.deepEqual(config.passivePorts, [50000, 50001, 50002, 50003]);
    assert.equal(config.idleTimeoutMs, 900_000);
    assert.equal(config.transferMemoryBytes, 256 * 1024 * 1024);
    assert.equal(config.implicitTlsPort, undefined);
  });

  it('The configuration cannot be changed after it is read', () => {
    const config = parseConfig(users) as { controlPort: number };
    assert.throws(() => (config.controlPort = 22), TypeError);
    assert.throws(() => (parseConfig(users).passivePorts as number[]).push(1), TypeError);
  });

  it('The configuration reports all problems together, each with the variable, the allowed values and the value it got', () => {
    const environment = { USERS: undefined, CONTROL_PORT: 'ftp', TLS: 'yes', MAX_SESSIONS: '0' };
    assert.throws(
      () => parseConfig({ ...users, ...environment }),
      new ConfigError([
        'CONTROL_PORT: expected a whole number from 0 to 65535, got "ftp"',
        'USERS: required, but not set. Source of the users document: `file:PATH`, at most 4 MiB, or `secretsmanager:ARN`.',
        'TLS: expected off or optional or required, got "yes"',
        'MAX_SESSIONS: expected a whole number from 1 to 1000000, got "0"',
      ]),
    );
  });

  it('An empty environment variable counts as not set', () => {
    assert.equal(parseConfig({ ...users, CONTROL_PORT: ' ' }).controlPort, 21);
  });

  const accepted: readonly (readonly [Environment, field: string, expected: unknown])[] = [
    [{ PASSIVE_PORTS: '8192-8200' }, 'passivePorts', [8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199, 8200]],
    [{ PASSIVE_PORTS: '2000' }, 'passivePorts', [2000]],
    [{ PASSIVE_PORTS: '0' }, 'passivePorts', [0]],
    [{ IDLE_TIMEOUT_SECONDS: '7' }, 'idleTimeoutMs', 7000],
    [{ ADVERTISED_ADDRESS: '203.0.113.9' }, 'advertisedAddress', { kind: 'fixed', address: '203.0.113.9' }],
    [{ S3_BUCKET: 'b', S3_PREFIX: 'a/b/' }, 's3Prefix', 'a/b/'],
    [{ S3_FORCE_PATH_STYLE: 'true' }, 's3ForcePathStyle', true],
    [{}, 'filenameEncoding', 'utf-8'],
    [{ FILENAME_ENCODING: 'windows-1252' }, 'filenameEncoding', 'windows-1252'],
    [{}, 'pathnameBackslash', 'literal'],
    [{ PATHNAME_BACKSLASH: 'separator' }, 'pathnameBackslash', 'separator'],
    [
      { TLS: 'required', TLS_CERTIFICATE: 'file:/c.pem, /k.pem' },
      'tlsCertificate',
      { kind: 'file', certificatePath: '/c.pem', keyPath: '/k.pem' },
    ],
    [
      { USERS: 'secretsmanager:arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:ftp/users-AbCdEf' },
      'users',
      {
        kind: 'secretsmanager',
        arn: 'arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:ftp/users-AbCdEf',
      },
    ],
  ];
  for (const [environment, field, expected] of accepted) {
    it(`The configuration reads ${JSON.stringify(environment)}`, () => {
      const config: Readonly<Record<string, unknown>> = parseConfig({ ...users, ...environment });
      assert.deepEqual(config[field], expected);
    });
  }

  const refused: readonly (readonly [Environment, RegExp])[] = [
    [{ PASSIVE_PORTS: '50003-50000' }, /^PASSIVE_PORTS: expected a range of ports such as 50000-50003/],
    [{ PASSIVE_PORTS: '1-65536' }, /^PASSIVE_PORTS: expected a range/],
    [{ PASSIVE_PORTS: '0-3' }, /^PASSIVE_PORTS: expected a range/],
    [{ PASSIVE_PORTS: '1024-4096' }, /^PASSIVE_PORTS: expected at most 1024 ports/],
    [{ LISTEN_ADDRESS: 'localhost' }, /^LISTEN_ADDRESS: expected an IPv4 or IPv6 address, got "localhost"/],
    [{ ADVERTISED_ADDRESS: 'ftp.example.com' }, /^ADVERTISED_ADDRESS: expected auto, an IPv4 address/],
    [{ S3_ENDPOINT: 'ftp://x' }, /^S3_ENDPOINT: expected an address such as https/],
    [{ S3_BUCKET: 'b', S3_PREFIX: 'partners' }, /^S3_PREFIX: must end in "\/": expected "partners\/"/],
    [{ S3_BUCKET: 'b', S3_PREFIX: '/partners/' }, /^S3_PREFIX: must not begin with "\/"/],
    [{ USERS: 'users.json' }, /^USERS: expected file:PATH or secretsmanager:ARN, got "users.json"/],
    [{ USERS: 'secretsmanager:my-secret' }, /^USERS: expected file:PATH or secretsmanager:ARN/],
    [
      { TLS: 'optional', TLS_CERTIFICATE: 'file:cert.pem' },
      /^TLS_CERTIFICATE: expected file:CERT.pem,KEY.pem/,
    ],
    [{ FILENAME_ENCODING: 'latin1' }, /^FILENAME_ENCODING: expected utf-8 or windows-1252, got "latin1"/],
    [{ PATHNAME_BACKSLASH: 'slash' }, /^PATHNAME_BACKSLASH: expected literal or separator, got "slash"/],
    [{ PROXY_PROTOCOL_FROM: '10.0.0.0/33' }, /^PROXY_PROTOCOL_FROM: expected networks such as 10.0.0.0\/16/],
    [{ METRICS_NAMESPACE: 'AWS/Ftp' }, /^METRICS_NAMESPACE: expected up to 255/],
    [{ TLS_CIPHERS: 'NONSENSE' }, /^TLS_CIPHERS: expected a list of OpenSSL cipher suites for TLS 1.2/],
    [{ TLS_CIPHERS: 'TLS_AES_128_GCM_SHA256' }, /^TLS_CIPHERS: expected a list of OpenSSL/],
    [{ TRANSFER_MEMORY_MIB: '1' }, /^TRANSFER_MEMORY_MIB: expected a whole number from 32/],
  ];
  for (const [environment, problem] of refused) {
    it(`The configuration refuses ${JSON.stringify(environment)}`, () => {
      const problems = problemsOf(environment);
      assert.equal(problems.length, 1, problems.join('\n'));
      assert.match(problems[0]!, problem);
    });
  }

  const conflicting: readonly (readonly [Environment, string])[] = [
    [{ TLS: 'required' }, 'TLS=required needs a certificate: set TLS_CERTIFICATE.'],
    [
      { TLS_CERTIFICATE: 'file:c,k' },
      'TLS_CERTIFICATE is set, but TLS is off and would not use it: set TLS=optional or TLS=required, or unset it.',
    ],
    [
      { IMPLICIT_TLS_PORT: '990' },
      'IMPLICIT_TLS_PORT is set, but TLS is off: set TLS=optional or TLS=required, or unset it.',
    ],
    [
      { TLS_DATA_RESUMPTION: 'required' },
      'TLS_DATA_RESUMPTION=required cannot be kept while TLS is off: set TLS=optional or TLS=required.',
    ],
    [{ CONTROL_PORT: '50001' }, 'CONTROL_PORT and PASSIVE_PORTS both want port 50001: give one another.'],
    [
      { PASSIVE_PORTS: '8000-8100' },
      'OPERATIONS_PORT and PASSIVE_PORTS both want port 8080: give one another.',
    ],
    [{ CONTROL_PORT: '8080' }, 'OPERATIONS_PORT and CONTROL_PORT both want port 8080: give one another.'],
    [{ S3_PREFIX: 'a/' }, 'S3_PREFIX is set without S3_BUCKET: name the bucket too.'],
    [
      { ACTIVE_MODE: 'off', ACTIVE_SOURCE_PORT: '20' },
      'ACTIVE_SOURCE_PORT is set, but ACTIVE_MODE is off: unset one.',
    ],
    [
      { PROXY_PROTOCOL: 'v2', ACTIVE_MODE: 'off' },
      'PROXY_PROTOCOL=v2 needs PROXY_PROTOCOL_FROM, the networks of the load balancer: anybody else could name any client address.',
    ],
    [
      { PROXY_PROTOCOL: 'v2', PROXY_PROTOCOL_FROM: '10.0.0.0/24' },
      'PROXY_PROTOCOL=v2 excludes active mode, which connects to the address in the header: set ACTIVE_MODE=off.',
    ],
    [
      { ACTIVE_SOURCE_PORT: '21' },
      'ACTIVE_SOURCE_PORT and CONTROL_PORT both want port 21: give one another.',
    ],
  ];
  for (const [environment, problem] of conflicting) {
    it(`The configuration reports the conflict in ${JSON.stringify(environment)}`, () => {
      assert.deepEqual(problemsOf(environment), [problem]);
    });
  }

  it('Several ports may be 0, which lets the system choose each of them', () => {
    const free = { CONTROL_PORT: '0', OPERATIONS_PORT: '0', PASSIVE_PORTS: '0' };
    assert.deepEqual(problemsOf(free), []);
  });

  it('No configuration problem repeats a password that is part of an address', () => {
    const [problem = ''] = problemsOf({ S3_ENDPOINT: 'https://key:secret@s3.example.com' });
    assert.match(problem, /^S3_ENDPOINT: expected no user or password/);
    assert.doesNotMatch(problem, /secret/);
  });
});
