import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { walkBelow } from '../../../src/ftp/listing/entries.ts';
import { rootPathname } from '../../../src/filesystem/pathname.ts';
import { Dialogue } from '../../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../../support/gateway.ts';

describe('functions that are switched off', () => {
  let gateway: TestGateway;
  let client: Dialogue;

  before(async () => {
    gateway = await startTestGateway({ modeZ: 'off', hash: 'off', listRecursive: 'off' });
    gateway.filesystem.putFile('/dir/file', 'abc');
    client = await Dialogue.logIn({ port: gateway.controlPort });
  });
  after(async () => {
    client.destroy();
    await gateway.close();
  });

  it('MODE_Z=off removes MODE Z from FEAT and HELP, and refuses it and its options', async () => {
    assert.doesNotMatch(await client.ask('FEAT'), /MODE Z/);
    await client.says('HELP MODE', /^214 Syntax: MODE <SP> S \(/);
    await client.says('MODE Z', '504 MODE Z is switched off here. [COMMAND-INVALID]');
    await client.says('OPTS MODE Z LEVEL 9', '504 MODE Z is switched off here. [COMMAND-INVALID]');
    await client.says('MODE S', /^200 /);
  });

  it('HASH=off removes HASH and the X commands from FEAT and HELP, and does not know them', async () => {
    assert.doesNotMatch(await client.ask('FEAT'), /HASH|XCRC|XMD5|XSHA/);
    assert.doesNotMatch(await client.ask('HELP'), /HASH|XCRC|XMD5|XSHA/);
    const unknown = await client.ask('UNKNOWN x');
    for (const command of ['HASH dir/file', 'XCRC dir/file', 'XSHA512 dir/file']) {
      await client.says(command, unknown);
    }
    await client.says('OPTS HASH MD5', /^501 /);
  });

  it('LIST_RECURSIVE=off refuses LIST -R and lists without -R', async () => {
    await client.says(
      'LIST -laR',
      '504 LIST -R is switched off here; list the directories one by one. [LIMIT-LISTINGS]',
    );
    assert.match((await client.download('LIST -la')).toString(), / dir\r\n$/);
  });
});

describe('a recursive listing', () => {
  it('LIST -R ends with 451 where there are more levels than it may show', async () => {
    const gateway = await startTestGateway();
    gateway.filesystem.putFile(`${'/d'.repeat(40)}/file`, 'abc');
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    const data = await client.passive();
    data.on('error', () => undefined).resume();
    await client.says(
      'LIST -R',
      /^150 /,
      '451 LIST -R shows at most 32 levels; list the directories one by one. [LIMIT-LISTINGS]',
    );
    client.destroy();
    await gateway.close();
  });

  const generous = { entries: 100, directories: 100, levels: 100 };
  for (const [what, limits] of [
    ['entries', { ...generous, entries: 5 }],
    ['directories', { ...generous, directories: 2 }],
    ['levels', { ...generous, levels: 3 }],
  ] as const) {
    it(`A walk through a tree ends with an error beyond its limit of ${what}`, async () => {
      const filesystem = new MemoryFilesystem();
      for (const name of ['a', 'b', 'c']) filesystem.putFile(`/${name}/x/y/file`, '');
      const walk = async (with_: typeof generous): Promise<number> => {
        let entries = 0;
        const { signal } = new AbortController();
        for await (const { pages } of walkBelow(filesystem, rootPathname, ['a', 'b', 'c'], signal, with_)) {
          for await (const page of pages) entries += page.length;
        }
        return entries;
      };
      assert.equal(await walk(generous), 9);
      await assert.rejects(walk(limits), {
        name: 'ListingTooLarge',
        message: `LIST -R shows at most ${limits[what]} ${what}; list the directories one by one.`,
      });
    });
  }
});
