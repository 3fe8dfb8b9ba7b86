/**
 * An FTP client to be killed: logs in, sends the first bytes of a file, prints `sent`, and waits for its end. Run as a
 * process of its own. Arguments: control port, username, password, pathname, bytes to send.
 */
import { Dialogue } from '../../support/dialogue.ts';

const [port = '', username, password, pathname = '', bytes = ''] = process.argv.slice(2);
const dialogue = await Dialogue.logIn({ port: Number(port) }, username, password);
await dialogue.ask('TYPE I');
const data = await dialogue.passive();
await dialogue.ask(`STOR ${pathname}`);
await new Promise<void>((resolve) => data.write(Buffer.alloc(Number(bytes), 'k'), () => resolve()));
process.stdout.write('sent\n');
// Holds both connections until the process is killed.
setInterval(() => undefined, 60_000);
