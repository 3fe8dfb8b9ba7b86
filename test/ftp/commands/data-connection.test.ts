import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { after, afterEach, describe, it } from 'node:test';
import { parseEprt, parsePort } from '../../../src/ftp/commands/data-connection.ts';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { DataSide, readAll, type DataSideOptions } from '../data/data-side.ts';
import { LeakCheck } from '../../support/leak-check.ts';

const leaks = new LeakCheck();
let side: DataSide;
const servers: Server[] = [];

async function start(options: DataSideOptions = {}): Promise<MemoryFilesystem> {
  const filesystem = new MemoryFilesystem();
  filesystem.putFile('/f', 'abc');
  side = await DataSide.start({ filesystem, ...options });
  return filesystem;
}

/** A client that listens for the data connection. */
async function listen(onConnection: (socket: Socket) => void, host = '127.0.0.1'): Promise<number> {
  const server = createServer(onConnection).listen(0, host);
  servers.push(server);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function portArgument(port: number, host = '127,0,0,1'): string {
  return `${host},${port >> 8},${port & 0xff}`;
}

afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await side.close();
});
after(() => leaks.assertNothingLeft());

describe('PASV', () => {
  it('PASV names the address that the client connected to and the port, in the format that clients parse', async () => {
    await start();
    const [port = 0] = side.ports.ports;
    assert.equal(
      await side.command('PASV'),
      `227 Entering Passive Mode (127,0,0,1,${port >> 8},${port & 0xff}).\r\n`,
    );
  });

  it('PASV names the configured address', async () => {
    await start({ advertisedAddress: '127.0.0.0/8=203.0.113.10' });
    assert.match(await side.command('PASV'), /^227 Entering Passive Mode \(203,0,113,10,\d+,\d+\)\.\r\n$/);
  });

  it('PASV tells IPv6 clients to use EPSV', async () => {
    await start();
    side.session.reachedAddress = '2001:db8::1';
    side.session.clientAddress = '2001:db8::2';
    assert.equal(await side.command('PASV'), '522 PASV cannot carry an IPv6 address, use EPSV (2).\r\n');
  });

  it('PASV fails with 425 and an explanation when every port of its address stays occupied for too long', async () => {
    await start();
    const other = { id: 'other', clientAddress: '127.0.0.1', isExecuting: false };
    await side.ports.lease(other, new AbortController().signal);
    assert.equal(
      await side.command('PASV'),
      '425 All passive ports wait for other connections from your address; try again. [PASV-EXHAUSTED]\r\n',
    );
  });
});

describe('EPSV', () => {
  it('EPSV names only the port', async () => {
    await start();
    const expected = `229 Entering Extended Passive Mode (|||${side.ports.ports[0]!}|)\r\n`;
    for (const argument of ['', '1']) assert.equal(await side.command('EPSV', argument), expected);
  });

  for (const [argument, reply] of [
    ['2', '522 Network protocol not supported, use (1).\r\n'],
    ['3', '522 Network protocol not supported, use (1).\r\n'],
    ['x', '501 EPSV takes nothing, 1, 2 or ALL.\r\n'],
  ] as const) {
    it(`EPSV ${argument} is answered ${reply.slice(0, 3)} for an IPv4 client`, async () => {
      await start();
      assert.equal(await side.command('EPSV', argument), reply);
      assert.equal(side.ports.usage.leases, 0);
    });
  }

  it('EPSV ALL refuses every other data connection command in the rest of the session', async () => {
    await start();
    assert.match(await side.command('EPSV', 'all'), /^200 /);
    const refused = '501 Only EPSV is allowed after EPSV ALL.\r\n';
    assert.equal(await side.command('PASV'), refused);
    assert.equal(await side.command('PORT', '127,0,0,1,8,0'), refused);
    assert.equal(await side.command('EPRT', '|1|127.0.0.1|2048|'), refused);
    assert.match(await side.command('EPSV'), /^229 /);
  });

  it('EPSV works over IPv6', async (test) => {
    try {
      await start({ listenAddress: '::1' });
    } catch {
      await start();
      test.skip('no IPv6 here');
      return;
    }
    side.session.clientAddress = '::1';
    assert.match(await side.command('EPSV', '2'), /^229 /);
    const [port = 0] = side.ports.ports;
    const { connect } = await import('node:net');
    const received = readAll(connect({ host: '::1', port }));
    assert.equal(await side.command('RETR', 'f'), '226 Transfer complete.\r\n');
    assert.equal((await received).bytes.toString(), 'abc');
  });
});

describe('PORT and EPRT', () => {
  it('PORT and EPRT connect to the client and send a file', async () => {
    await start();
    for (const [verb, argument] of [
      ['PORT', (port: number) => portArgument(port)],
      ['EPRT', (port: number) => `|1|127.0.0.1|${port}|`],
    ] as const) {
      let received: Promise<{ bytes: Buffer }> | undefined;
      const port = await listen((socket) => {
        received = readAll(socket);
      });
      assert.equal(await side.command(verb, argument(port)), `200 ${verb} command successful.\r\n`);
      assert.equal(await side.command('RETR', 'f'), '226 Transfer complete.\r\n');
      assert.equal((await received)?.bytes.toString(), 'abc');
    }
  });

  it('PORT and EPRT connect to the client and receive an upload', async () => {
    const filesystem = await start();
    const port = await listen((socket) => socket.end('sent by the client'));
    await side.command('PORT', portArgument(port));
    assert.equal(await side.command('STOR', 'up'), '226 Transfer complete.\r\n');
    assert.equal(filesystem.readFile('/up')!.toString(), 'sent by the client');
  });

  for (const [verb, argument, reply] of [
    [
      'PORT',
      '127,0,0,2,8,0',
      '501 Data connections are made to your own address 127.0.0.1 only, not to 127.0.0.2. Use PASV or EPSV. [ACTIVE-PRIVATE]\r\n',
    ],
    [
      'PORT',
      '127,0,0,1,0,22',
      '501 Data connections are made to ports from 1024 only. Use PASV or EPSV. [ACTIVE-PORT]\r\n',
    ],
    ['PORT', '127,0,0,1,8', '501 PORT needs an address and a port from 1 to 65535.\r\n'],
    [
      'EPRT',
      '|1|127.0.0.2|2048|',
      '501 Data connections are made to your own address 127.0.0.1 only, not to 127.0.0.2. Use PASV or EPSV. [ACTIVE-PRIVATE]\r\n',
    ],
    [
      'EPRT',
      '|2|::1|2048|',
      '501 Data connections are made to your own address 127.0.0.1 only, not to ::1. Use PASV or EPSV. [ACTIVE-PRIVATE]\r\n',
    ],
    ['EPRT', '|1|127.0.0.1|99999|', '501 EPRT needs an address and a port from 1 to 65535.\r\n'],
    ['EPRT', '|3|x|2048|', '522 Network protocol not supported, use (1,2).\r\n'],
    ['EPRT', '', '501 EPRT needs an address and a port from 1 to 65535.\r\n'],
  ] as const) {
    it(`${verb} ${argument} is answered ${reply.trimEnd()}`, async () => {
      await start();
      assert.equal(await side.command(verb, argument), reply);
      assert.equal(side.session.dataConnectionSource, undefined);
    });
  }

  it('PORT and EPRT are refused when active mode is off', async () => {
    await start({ activeMode: 'off' });
    assert.equal(
      await side.command('PORT', '127,0,0,1,8,0'),
      '502 PORT is switched off here; use PASV or EPSV. [ACTIVE-OFF]\r\n',
    );
  });

  it('A transfer after PORT fails with 425 when the client does not listen', async () => {
    await start();
    const port = await listen(() => undefined);
    servers.pop()!.close();
    await side.command('PORT', portArgument(port));
    assert.equal(
      await side.command('RETR', 'f'),
      `425 The connection to 127.0.0.1 port ${port} failed (ECONNREFUSED). Use PASV or EPSV. [ACTIVE-REFUSED]\r\n`,
    );
  });

  it('PORT replaces a passive port lease, and PASV replaces the address of PORT', async () => {
    await start();
    await side.command('PASV');
    await side.command('PORT', '127,0,0,1,8,0');
    assert.equal(side.ports.usage.leases, 0);
    await side.command('PASV');
    assert.equal(side.ports.usage.leases, 1);
  });
});

describe('the argument of PORT', () => {
  for (const argument of [
    '',
    '1,2,3,4,5',
    '1,2,3,4,5,6,7',
    '256,0,0,1,8,0',
    '1,2,3,4,0,0',
    'a,b,c,d,e,f',
    '1,2,3,4,5,-6',
  ]) {
    it(`parsePort() refuses ${JSON.stringify(argument)}`, () => assert.equal(parsePort(argument), undefined));
  }
  it('parsePort() reads an address and a port from six numbers', () =>
    assert.deepEqual(parsePort('1,2,3,4,5,6'), { address: '1.2.3.4', port: 1286 }));
});

describe('the argument of EPRT', () => {
  for (const argument of [
    '',
    '|',
    '||||',
    '|1|1.2.3.4|1',
    '|1|1.2.3.4|0|',
    '|1|::1|1|',
    '|2|1.2.3.4|1|',
    '|1|1.2.3.4|1|x',
    ' 1 1.2.3.4 1 ',
  ]) {
    it(`parseEprt() refuses ${JSON.stringify(argument)}`, () => assert.equal(parseEprt(argument), undefined));
  }
  it('parseEprt() accepts any delimiter', () => {
    assert.deepEqual(parseEprt('!1!1.2.3.4!2000!'), { address: '1.2.3.4', port: 2000 });
  });
  it('parseEprt() normalizes IPv6 addresses', () => {
    assert.deepEqual(parseEprt('|2|2001:DB8:0::1|2000|'), { address: '2001:db8::1', port: 2000 });
  });
});
