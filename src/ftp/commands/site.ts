/** SITE: what clients expect of UNIX servers beyond the standard (RFC 959 4.1.3). */
import { reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import type { FileTimes } from '../../filesystem/filesystem.ts';
import { resolvePathname } from '../../filesystem/pathname.ts';
import { can } from '../../users/user.ts';
import type { Command } from './command.ts';
import { type FileTimeOptions, setTimeBySite } from './file-times.ts';
import { missingPathname } from './files.ts';
import { answerMainframe, mainframeHelp } from './site-mainframe.ts';

type SiteCommand = {
  readonly syntax: string;
  readonly handle: (
    session: Session,
    login: Login,
    argument: string,
    fileTimes: FileTimes,
  ) => Reply | Promise<Reply>;
};

const unknownCommand = (name: string): Reply =>
  reply(500, `SITE ${name} is not known; nothing was changed. SITE HELP lists what there is.`);

/** By name; SITE HELP shows them in this order. */
const siteCommands: ReadonlyMap<string, SiteCommand> = new Map([
  ['CHMOD', { syntax: 'SITE CHMOD <mode> <pathname>', handle: changeMode }],
  ['UTIME', { syntax: 'SITE UTIME YYYYMMDDhhmm[ss] <pathname>', handle: setTimeBySite }],
  ['HELP', { syntax: 'SITE HELP', handle: help }],
]);

export function siteCommandRows({ fileTimes }: FileTimeOptions): Command[] {
  return [
    {
      verb: 'SITE',
      syntax: 'SITE <SP> CHMOD|UTIME|HELP [<SP> <arguments>]',
      argument: 'pathname',
      source: 'RFC 959 4.1.3',
      access: 'logged-in',
      keepsPending: true,
      handle: (session, login, argument) => {
        const [, name = '', rest = ''] = /^ *([^ ]+)(?: (.*))?$/.exec(argument) ?? [];
        const command = siteCommands.get(name.toUpperCase());
        if (command !== undefined) return command.handle(session, login, rest, fileTimes);
        return answerMainframe(argument) ?? unknownCommand(name);
      },
    },
  ];
}

// Objects have no modes. Clients that copy the modes of their own files must not fail over it.
async function changeMode({ signal }: Session, login: Login, argument: string): Promise<Reply> {
  const [, , name = ''] = /^ *([0-7]{3,4}) (.*)$/.exec(argument) ?? [];
  if (name === '') return missingPathname;
  if (!can(login.user, 'list')) return reply(550, 'Permission denied.');
  await login.filesystem.stat(resolvePathname(login.workingDirectory, name), { signal });
  return reply(200, 'Files have no modes here; nothing was changed.');
}

function help(_session: Session, _login: Login, _argument: string, fileTimes: FileTimes): Reply {
  const available = [...siteCommands.values()].filter(
    ({ handle }) => handle !== setTimeBySite || fileTimes === 'client',
  );
  return reply(214, ['SITE commands:', ...available.map(({ syntax }) => syntax), mainframeHelp, 'End.']);
}
