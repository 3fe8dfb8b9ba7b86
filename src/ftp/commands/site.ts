/** SITE (RFC 959 4.1.3): the subcommands that clients expect of a UNIX server. */
import { reply, type Reply } from './reply.ts';
import type { Login, Session } from './session.ts';
import type { FileTimes } from '../../filesystem/filesystem.ts';
import { resolvePathname } from '../../filesystem/pathname.ts';
import { can } from '../../users/user.ts';
import { missingPathname, permissionDenied, type Command } from './command.ts';
import { type FileTimeOptions, setTimeBySite } from './file-times.ts';
import { mainframeReply, mainframeHelp } from './site-mainframe.ts';

type Subcommand = {
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
const subcommands: ReadonlyMap<string, Subcommand> = new Map([
  ['CHMOD', { syntax: 'SITE CHMOD <mode> <pathname>', handle: changeMode }],
  ['UTIME', { syntax: 'SITE UTIME YYYYMMDDhhmm[ss] <pathname>', handle: setTimeBySite }],
  ['HELP', { syntax: 'SITE HELP', handle: help }],
]);

/** The row of SITE. */
export function siteCommands({ fileTimes }: FileTimeOptions): Command[] {
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
        const command = subcommands.get(name.toUpperCase());
        if (command !== undefined) return command.handle(session, login, rest, fileTimes);
        return mainframeReply(argument) ?? unknownCommand(name);
      },
    },
  ];
}

// Objects have no modes, but clients that copy the modes of their own files must not fail because of that.
async function changeMode({ signal }: Session, login: Login, argument: string): Promise<Reply> {
  const [, , name = ''] = /^ *([0-7]{3,4}) (.*)$/.exec(argument) ?? [];
  if (name === '') return missingPathname;
  if (!can(login.user, 'list')) return permissionDenied;
  await login.filesystem.stat(resolvePathname(login.workingDirectory, name), { signal });
  return reply(200, 'Files have no modes here; nothing was changed.');
}

function help(_session: Session, _login: Login, _argument: string, fileTimes: FileTimes): Reply {
  const available = [...subcommands.values()].filter(
    ({ handle }) => handle !== setTimeBySite || fileTimes === 'client',
  );
  return reply(214, ['SITE commands:', ...available.map(({ syntax }) => syntax), mainframeHelp, 'End.']);
}
