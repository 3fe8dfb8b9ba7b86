import { FilesystemError, type FilesystemErrorKind } from '../../../src/filesystem/filesystem-error.ts';
import type { Filesystem } from '../../../src/filesystem/filesystem.ts';
import { MemoryFilesystem } from '../../../src/filesystem/memory-filesystem.ts';
import { loggedIn, type Row } from './row.ts';

/** A filesystem whose deletions fail. */
function failing(kind: FilesystemErrorKind): Filesystem {
  const removeFile = () => Promise.reject(new FilesystemError(kind, 'provoked'));
  return Object.assign(new MemoryFilesystem(), { removeFile });
}

/** A command of a logged-in user, and the reply to it. */
function commandRow(row: Omit<Row, 'provoke' | 'event'> & { readonly commands: readonly string[] }): Row {
  const { commands, ...rest } = row;
  return {
    ...rest,
    event: 'command',
    async provoke(scene) {
      scene.gateway.filesystem.putFile('/dir/file', 'content');
      const client = await loggedIn(scene);
      let reply = '';
      for (const command of commands) reply = await client.ask(command);
      return reply;
    },
  };
}

export const fileRows: readonly Row[] = [
  commandRow({
    cause: 'FILE-NOT-FOUND',
    when: 'a file to delete does not exist',
    commands: ['DELE nothing'],
    fields: { verb: 'DELE', pathname: '/nothing', outcome: 'refused', replyCode: 550, username: 'alice' },
    reply: /^550 No such file/,
  }),
  commandRow({
    cause: 'FILE-EXISTS',
    when: 'a directory to create exists',
    commands: ['MKD dir'],
    fields: { verb: 'MKD', pathname: '/dir' },
    reply: /^550 The name exists/,
  }),
  commandRow({
    cause: 'FILE-TYPE',
    when: 'a directory is deleted like a file',
    commands: ['DELE dir'],
    reply: /^550 It is a directory/,
  }),
  commandRow({
    cause: 'FILE-NOT-EMPTY',
    when: 'a directory with entries is removed',
    commands: ['RMD dir'],
    reply: /^550 The directory is not empty/,
  }),
  commandRow({
    cause: 'FILE-NAME',
    when: 'a directory moves below itself',
    commands: ['RNFR dir', 'RNTO dir/below'],
    fields: { verb: 'RNTO', pathname: '/dir', to: '/dir/below' },
    reply: /^553 The name is not allowed/,
  }),
  commandRow({
    cause: 'FILE-PERMISSION',
    when: 'a user may not delete',
    options: { users: [{ name: 'alice', password: 'secret', permissions: 'read-only' }] },
    commands: ['DELE file'],
    fields: { verb: 'DELE', argument: 'file', outcome: 'refused' },
    reply: /^550 Permission denied/,
  }),
  commandRow({
    cause: 'FILE-CHANGED',
    when: 'another writer changes the file',
    options: { filesystemFor: () => failing('changed') },
    commands: ['DELE file'],
    reply: /^451 The file changed/,
  }),
  commandRow({
    cause: 'STORAGE-FULL',
    when: 'the quota of the storage is reached',
    options: { filesystemFor: () => failing('storage-full') },
    commands: ['DELE file'],
    fields: { outcome: 'failed' },
    reply: /^552 Exceeded storage allocation/,
  }),
  commandRow({
    cause: 'ACTIVE-OFF',
    when: 'a client sends PORT where active mode is off',
    options: { activeMode: 'off' },
    commands: ['PORT 127,0,0,1,200,1'],
    fields: { verb: 'PORT', argument: '127,0,0,1,200,1' },
    reply: /^502 PORT is switched off/,
  }),
  commandRow({
    cause: 'ACTIVE-PRIVATE',
    when: 'a client behind a NAT sends PORT with its private address',
    commands: ['PORT 192,168,1,7,200,1'],
    fields: { verb: 'PORT', argument: '192,168,1,7,200,1' },
    reply: /^501 Data connections are made to your own address 127\.0\.0\.1 only, not to 192\.168\.1\.7\./,
  }),
  commandRow({
    cause: 'ACTIVE-ADDRESS',
    when: 'a client sends PORT with the public address of another host',
    commands: ['PORT 203,0,113,9,200,1'],
    reply: /^501 Data connections are made to your own address/,
  }),
  commandRow({
    cause: 'ACTIVE-PORT',
    when: 'a client sends PORT with a port of a system service',
    commands: ['PORT 127,0,0,1,0,22'],
    reply: /^501 Data connections are made to ports from 1024 only/,
  }),
  commandRow({
    cause: 'DATA-NO-MODE',
    when: 'a client sends RETR without PASV',
    commands: ['RETR file'],
    fields: { verb: 'RETR', argument: 'file' },
    reply: /^425 Use PASV/,
  }),
];
