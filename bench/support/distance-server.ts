/**
 * Distance between a client and a server: passes every byte on as it is, TLS included, after a fixed time in either
 * direction. Runs as a process of its own. Arguments: port, port of the server, milliseconds one way.
 */
import { connect, createServer, type Socket } from 'node:net';

const [port = 0, serverPort = 0, oneWayMs = 0] = process.argv.slice(2).map(Number);
/** On the way in one direction of one connection; as much as a long fast line holds. */
const mostBytesUnderWay = 16 * 1024 * 1024;

createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
  const far = connect({ host: '127.0.0.1', port: serverPort, allowHalfOpen: true, noDelay: true });
  carry(near, far);
  carry(far, near);
}).listen(port, '127.0.0.1');

// Timers of one length fire in the order in which they were set, so the bytes stay in theirs.
function carry(from: Socket, to: Socket): void {
  let underWayBytes = 0;
  from.on('data', (bytes: Buffer) => {
    underWayBytes += bytes.length;
    if (underWayBytes > mostBytesUnderWay) from.pause();
    setTimeout(() => {
      to.write(bytes, () => {
        underWayBytes -= bytes.length;
        if (underWayBytes <= mostBytesUnderWay) from.resume();
      });
    }, oneWayMs);
  });
  from.once('end', () => setTimeout(() => to.end(), oneWayMs));
  // A connection that breaks breaks at the other end as well.
  from.on('error', () => undefined);
  from.once('close', (hadError) => {
    if (hadError) setTimeout(() => to.destroy(), oneWayMs);
  });
}
