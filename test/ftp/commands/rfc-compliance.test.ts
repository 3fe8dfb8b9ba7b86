/** docs/rfc-compliance.md is correct and up to date. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { specifications } from '../../../scripts/rfc-rules.ts';
import { complianceDocument, compliancePath, fullTable } from '../../../scripts/rfc-compliance.ts';
import type { Command } from '../../../src/ftp/commands/command.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';

describe('docs/rfc-compliance.md', () => {
  let commands: ReadonlyMap<string, Command>;
  let gateway: TestGateway;
  before(async () => {
    commands = await fullTable();
    gateway = await startTestGateway({ tls: 'optional' });
  });
  after(() => gateway.close());

  it('docs/rfc-compliance.md is generated from the command table and the rules (npm run docs writes it)', async () => {
    assert.equal(await readFile(compliancePath, 'utf8'), await complianceDocument());
  });

  it('docs/rfc-compliance.md lists exactly the commands of the gateway', async () => {
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    const listed = (await client.ask('HELP')).split('\n').slice(1, -1).join(' ').trim().split(/\s+/);
    assert.deepEqual(listed.sort(), [...commands.keys()].sort());
    for (const [verb, { syntax, source }] of commands) {
      await client.says(`HELP ${verb}`, `214 Syntax: ${syntax} (${source})`);
    }
    await client.quit();
  });

  it('docs/rfc-compliance.md states for every command whether it needs a login, as the gateway does', async () => {
    const client = await Dialogue.open({ port: gateway.controlPort });
    await client.expect('220 Ready');
    for (const [verb, { access }] of commands) {
      if (access === 'logged-in') await client.says(verb, '530 Please log in with USER and PASS.');
    }
    await client.quit();
  });

  it('docs/rfc-compliance.md gives a reason for every rule that is not followed', () => {
    for (const { name, rules } of specifications) {
      for (const [section, , , kept, how] of rules) {
        assert.ok(kept === 'yes' || how !== '', `${name} ${section}`);
      }
    }
  });
});
