/** Random and mutated input, the same for the same seed. */
import type { Random } from '../../support/random.ts';

const mutations: readonly ((random: Random, bytes: Buffer) => Buffer)[] = [
  (random, bytes) => {
    const flipped = Buffer.from(bytes);
    if (flipped.length > 0) flipped[random.below(flipped.length)] = random.below(256);
    return flipped;
  },
  (random, bytes) => bytes.subarray(0, random.below(bytes.length + 1)),
  (random, bytes) => bytes.subarray(random.below(bytes.length + 1)),
  (random, bytes) => {
    const at = random.below(bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), random.bytes(random.below(9)), bytes.subarray(at)]);
  },
  (random, bytes) => {
    const at = random.below(bytes.length + 1);
    const odd = random.oneOf(oddities);
    return Buffer.concat([bytes.subarray(0, at), odd, bytes.subarray(at)]);
  },
  (random, bytes) => Buffer.concat([bytes, bytes.subarray(random.below(bytes.length + 1))]),
];

const oddities = [
  '\0',
  '\r',
  '\n',
  '\r\n',
  '\xff',
  '\xff\xf4\xff\xf2',
  '\xff\xfd',
  '../',
  '/',
  '"',
  '-la ',
  '*',
  '[',
  '%s%n',
  '99999999999999999999',
  '-1',
  '\x1b[2J',
  '\xc3\x28',
  '\xed\xa0\x80',
  'é',
  ' ',
  '  ',
  '\t',
  '|||',
  ',,,',
  'A'.repeat(300),
  '/'.repeat(300),
  '../'.repeat(100),
].map((text) => Buffer.from(text, 'latin1'));

/** Up to three mutations of what is valid, or, one time in eight, nothing but noise. */
export function mutate(random: Random, valid: Buffer): Buffer {
  if (random.below(8) === 0) return random.bytes(random.below(200));
  let bytes = valid;
  for (let times = random.below(4); times > 0; times--) bytes = random.oneOf(mutations)(random, bytes);
  return bytes;
}

const names = ['a', 'dir', 'dir/b', '/', '..', 'a b', 'ä', '.', '*', '', 'nothing', '"q"', '-la', '~'];
const numbers = ['0', '1', '7', '4096', '9007199254740993', '-5', '1e9', ''];

/** A command line as a client might send it; `verbs` is the command table's. */
export function commandLine(random: Random, verbs: readonly string[]): Buffer {
  const verb = random.oneOf(verbs);
  const argument = random.oneOf([
    () => '',
    () => random.oneOf(names),
    () => random.oneOf(numbers),
    () => `${random.oneOf(names)} ${random.oneOf(names)}`,
    () => `20240101000000 ${random.oneOf(names)}`,
    () => `CHMOD 644 ${random.oneOf(names)}`,
    () => `UTIME 202401010000 ${random.oneOf(names)}`,
    () => `"${random.oneOf(names)}" ${random.oneOf(numbers)} ${random.oneOf(numbers)}`,
    () => `127,0,0,1,${random.below(300)},${random.below(300)}`,
    () => `|${random.below(3)}|127.0.0.1|${random.below(70_000)}|`,
    () => 'MLST type;size;',
    () => 'UTF8 ON',
    () => 'UTF8 OFF',
    () => 'HASH MD5',
  ])();
  return Buffer.from(argument === '' ? verb : `${verb} ${argument}`);
}
