import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { CausedError, causeOf, causes, shownCode, type Cause } from '../../src/observability/cause.ts';

const page = readFileSync(new URL('../../docs/troubleshooting.md', import.meta.url), 'utf8');

/** The text under each heading of the third level, with line breaks as spaces. */
const sections = new Map(
  page
    .split(/^#{2,3} /m)
    .slice(1)
    .map((section) => {
      const end = section.indexOf('\n');
      return [section.slice(0, end), section.slice(end).replace(/\s+/g, ' ').trim()] as const;
    }),
);

const all: readonly (readonly [string, Cause])[] = Object.entries(causes);

/** The events of docs/log.md that a section refers to. */
function eventsWith(code: string): readonly string[] {
  if (code.startsWith('TLS-'))
    return ['tls-failed', 'certificate-loaded', 'certificate-expiring', 'session-closed'];
  if (code.startsWith('STORAGE-')) return ['storage-error', 'storage-slow', 'transfer'];
  if (/^PASV-(ADDRESS|PRIVATE|LATE|STRAY|RESET)$/.test(code)) return ['stray-data-connection'];
  return ['transfer', 'command', 'login', 'session-closed', 'session-refused'];
}

describe('causes', () => {
  it('docs/troubleshooting.md has a section for each cause, with its side, meaning, remedy and a sentence for the partner', () => {
    for (const [code, { side, meaning }] of all) {
      const section = sections.get(code);
      assert.ok(section !== undefined, `docs/troubleshooting.md has no section ${code}`);
      assert.ok(section.startsWith(`_Side: ${side}._ ${meaning} `), `${code}: ${section}`);
      assert.match(section, /\*\*What to do:\*\* \S.*\*\*Tell the partner:\*\* \S/, code);
    }
  });

  it('The log fields that a section of docs/troubleshooting.md names are fields of the events that have its cause', () => {
    const log = readFileSync(new URL('../../docs/log.md', import.meta.url), 'utf8').split(/^### /m);
    const isField = (event: string, field: string) =>
      log.some((section) => section.startsWith(`${event}\n`) && section.includes(`\n| \`${field}\` `));
    const named = all.flatMap(([code]) =>
      [...sections.get(code)!.matchAll(/`([a-z]+[A-Z]\w*|detail|alert|endpoint|operation|port)`/g)].map(
        (match) => [code, match[1]!] as const,
      ),
    );
    assert.ok(named.length > 10, 'the sections name fields');
    assert.deepEqual(
      named.filter(([code, field]) => !eventsWith(code).some((event) => isField(event, field))),
      [],
    );
  });

  it('docs/troubleshooting.md has no section for a cause that does not exist', () => {
    const codes = [...sections.keys()].filter(
      (heading) => /^[A-Z0-9]+(-[A-Z0-9]+)*$/.test(heading) && heading !== 'TLS',
    );
    assert.deepEqual(
      codes.filter((code) => !Object.hasOwn(causes, code)),
      [],
    );
  });

  it('A cause that must not be disclosed to clients is shown to them as another one', () => {
    assert.equal(shownCode('LOGIN-PASSWORD'), shownCode('LOGIN-USER'));
    for (const [code, { shownAs }] of all) {
      if (shownAs === undefined) continue;
      assert.ok(
        Object.hasOwn(causes, shownAs) &&
          all.some(([name, cause]) => name === shownAs && cause.shownAs === undefined),
        code,
      );
    }
  });

  it('The cause of an error is found behind the errors that wrap it', () => {
    const inner = new CausedError('PASV-NONE', 'no connection');
    assert.equal(causeOf(new Error('outer', { cause: inner })), 'PASV-NONE');
    assert.equal(causeOf(new Error('unknown')), 'INTERNAL');
    assert.equal(causeOf('no error'), 'INTERNAL');
    assert.equal(causeOf(Object.assign(new Error('forged'), { causeCode: 'NO-SUCH-CODE' })), 'INTERNAL');
  });
});
