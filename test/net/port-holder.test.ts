import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { holderIn } from '../../src/net/port-holder.ts';

const header =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const rest = '00000000:00000000 00:00000000 00000000     0        0 91 1 0 100 0 0 10 0';
const table = (...rows: readonly string[]) =>
  header + rows.map((row, at) => `   ${at}: ${row} ${rest}`).join('\n');

describe('holderIn', () => {
  for (const [what, tables, holder] of [
    ['nothing', table('0100007F:C351 0100007F:0050 01'), undefined],
    ['a listener', table('00000000:C350 00000000:0000 0A'), { kind: 'listener' }],
    [
      'a connection',
      table('0200000A:C350 0A0010AC:01BB 06'),
      { kind: 'connection', remote: '172.16.0.10:443', state: 'TIME_WAIT' },
    ],
    [
      'a listener beside a connection',
      table('0100007F:C350 0100007F:0050 01', '00000000:C350 00000000:0000 0A'),
      { kind: 'listener' },
    ],
    [
      'a connection of IPv4 through a socket of IPv6',
      table('0000000000000000FFFF00000100007F:C350 0000000000000000FFFF00000100007F:1F90 01'),
      { kind: 'connection', remote: '127.0.0.1:8080', state: 'ESTABLISHED' },
    ],
    [
      'a connection to an address of IPv6',
      table('00000000000000000000000001000000:C350 B80D0120000000000000000001000000:01BB 01'),
      { kind: 'connection', remote: '[2001:0db8:0000:0000:0000:0000:0000:0001]:443', state: 'ESTABLISHED' },
    ],
  ] as const) {
    it(`The port 50000 is held by ${what}`, () => {
      assert.deepEqual(holderIn(tables, 50_000), holder);
    });
  }
});
