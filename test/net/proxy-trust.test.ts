import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ProxyProblem, proxyProblems, type ProxySettings } from '../../src/net/proxy-trust.ts';

const from = (text: string): Pick<ProxySettings, 'proxyProtocolFrom'> => ({ proxyProtocolFrom: { text } });

describe('the trust in PROXY headers', () => {
  const cases: readonly (readonly [Partial<ProxySettings>, readonly ProxyProblem[]])[] = [
    [{ proxyProtocol: 'v2', ...from('10.0.0.0/8'), activeMode: 'off' }, []],
    [{ proxyProtocol: 'v2', ...from(''), activeMode: 'off' }, ['no-networks']],
    [{ proxyProtocol: 'v2', ...from('10.0.0.0/8'), activeMode: 'on' }, ['active-mode']],
    [{ proxyProtocol: 'v2', ...from(''), activeMode: 'on' }, ['no-networks', 'active-mode']],
    [{ proxyProtocol: 'off', ...from(''), activeMode: 'on' }, []],
    [{ proxyProtocol: 'v2' }, []],
    [{}, []],
  ];
  for (const [settings, problems] of cases) {
    it(`The settings ${JSON.stringify(settings)} have the problems [${problems.join(', ')}]`, () => {
      assert.deepEqual(proxyProblems(settings), problems);
    });
  }
});
