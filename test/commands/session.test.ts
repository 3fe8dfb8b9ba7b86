import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Dialogue } from '../support/dialogue.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';

describe('a session', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startTestGateway();
  });
  after(() => gateway.close());

  it('greets, logs in, answers the simple commands and says goodbye', async () => {
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.says('SYST', '215 UNIX Type: L8');
    await client.says('NOOP', '200 The requested action has been successfully completed');
    await client.says('PWD', '257 "/" is the current directory.');
    await client.says('TYPE I', '200 Type is image.');
    await client.says('MODE S', '200 The requested action has been successfully completed');
    await client.says('MODE Z', '504 Command parameter not supported');
    await client.says('STRU F', '200 The requested action has been successfully completed');
    await client.quit();
  });

  it('uploads, lists and downloads', async () => {
    const client = await Dialogue.logIn({ port: gateway.controlPort });
    await client.upload('STOR /a.txt', 'hello');
    assert.equal(gateway.filesystem.readFile('/a.txt')?.toString(), 'hello');
    assert.equal((await client.download('RETR /a.txt')).toString(), 'hello');
    assert.match((await client.download('NLST')).toString(), /^a\.txt\r\n$/);
    await client.quit();
  });
});
