import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { advisoriesOf, auditProblems, productionPackages } from '../../scripts/dependency-audit.ts';

const integrity = 'sha512-x';
const findings = {
  licences: ['MIT'],
  accepted: [{ package: 'ip', version: '1.1.9', advisories: ['GHSA-1'], reason: 'not called' }],
  unmaintained: [],
};
const ip = { name: 'ip', version: '1.1.9', license: 'MIT', integrity };

describe('the audit of dependencies', () => {
  it('The audit looks at what production installs, and at nothing else', () => {
    const names = productionPackages({
      '': { license: 'MIT' },
      'node_modules/a': { version: '1.0.0' },
      'node_modules/a/node_modules/@s/b': { version: '2.0.0' },
      'node_modules/tool': { version: '1.0.0', dev: true },
      'node_modules/both': { version: '1.0.0', devOptional: true },
      'node_modules/host': { version: '1.0.0', peer: true },
    }).map(({ name }) => name);
    assert.deepEqual(names, ['a', '@s/b']);
  });

  it('The audit accepts an accepted finding, and reports it as soon as that version is not installed any more', () => {
    const advisory = { package: 'ip', id: 'GHSA-1', title: 'SSRF' };
    assert.deepEqual(auditProblems([ip], findings, [advisory]), []);
    assert.deepEqual(auditProblems([{ ...ip, version: '2.0.2' }], findings, []), [
      'ip@1.1.9 is not installed any more: remove its finding.',
    ]);
  });

  for (const [what, change, problem] of [
    ['another licence', { license: 'GPL-3.0' }, 'x@1.0.0 has the licence GPL-3.0.'],
    ['no licence', { license: undefined }, 'x@1.0.0 has the licence none.'],
    ['no integrity', { integrity: undefined }, 'x@1.0.0 has no SHA-512 integrity.'],
    ['a deprecation', { deprecated: 'use y' }, 'x@1.0.0 is deprecated: use y'],
  ] as const) {
    it(`The audit reports a package with ${what}`, () => {
      const x = JSON.parse(JSON.stringify({ ...ip, name: 'x', version: '1.0.0', ...change })) as typeof ip;
      assert.deepEqual(auditProblems([ip, x], findings, []), [problem]);
    });
  }

  it('The audit reports an advisory of the registry that is not accepted', () => {
    const report = {
      vulnerabilities: {
        ip: { via: [{ name: 'ip', url: 'https://github.com/advisories/GHSA-1', title: 'SSRF' }] },
        undici: {
          via: [{ name: 'undici', url: 'https://github.com/advisories/GHSA-2', title: 'smuggling' }],
        },
        host: { via: ['undici'] },
      },
    };
    const advisories = advisoriesOf(JSON.stringify(report));
    assert.deepEqual(auditProblems([ip], findings, advisories ?? []), [
      'undici has the advisory GHSA-2: smuggling',
    ]);
    assert.equal(advisoriesOf('{"error":{"code":"E405"}}'), undefined);
  });
});
