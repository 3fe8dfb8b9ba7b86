/** Stock ftp-srv on a folder, in a process of its own. Arguments: control port, folder, first and last passive port. */
import FtpSrv from 'ftp-srv';

const [port = '', root = '', firstPassive = '', lastPassive = ''] = process.argv.slice(2);
const server = new FtpSrv.FtpSrv({
  url: `ftp://127.0.0.1:${port}`,
  pasv_url: '127.0.0.1',
  pasv_min: Number(firstPassive),
  pasv_max: Number(lastPassive),
});
server.on('login', (_data, resolve) => resolve({ root }));
await server.listen();
