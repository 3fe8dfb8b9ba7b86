/**
 * `npm run hash-password`: makes the `password` value of a users file. It prompts without echo, or reads standard input if
 * that is not a terminal; it accepts no argument, which every process of the machine could read.
 */
import { text } from 'node:stream/consumers';
import { PasswordHash } from '../src/users/password.ts';

class Refusal extends Error {}

const controlC = '\x03';
const controlD = '\x04';
const backspaces = new Set(['\x7f', '\b']);

async function readPassword(): Promise<string> {
  const { stdin } = process;
  if (!stdin.isTTY) return (await text(stdin)).replace(/\r?\n$/, '');
  const password = await askWithoutEcho('Password: ');
  if (password !== (await askWithoutEcho('Again: '))) throw new Refusal('The two passwords differ.');
  return password;
}

function askWithoutEcho(question: string): Promise<string> {
  const { stdin, stderr } = process;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let typed = '';
  const finish = (settle: () => void): void => {
    stdin.off('data', take).setRawMode(false).pause();
    stderr.write('\n');
    settle();
  };
  const take = (keys: string): void => {
    for (const key of keys) {
      if (key === controlC) {
        finish(() => reject(new Refusal('Stopped.')));
        return;
      }
      if (key === '\r' || key === '\n' || key === controlD) {
        finish(() => resolve(typed));
        return;
      }
      typed = backspaces.has(key) ? typed.replace(/.$/su, '') : typed + key;
    }
  };
  stderr.write(question);
  stdin.setEncoding('utf8').setRawMode(true).resume().on('data', take);
  return promise;
}

async function main(): Promise<void> {
  if (process.argv.length > 2) {
    throw new Refusal(
      'Give no password as an argument: other processes could read it. Run without, or pipe it in.',
    );
  }
  const password = await readPassword();
  if (password === '') throw new Refusal('The password is empty.');
  // PASS is one line of text (RFC 959 5.3.1): no client could send such a password.
  if (/[\0\r\n]/.test(password))
    throw new Refusal('The password holds a line break or NUL, which FTP cannot send.');
  process.stdout.write(`${await PasswordHash.create(password)}\n`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
