/**
 * The command table: every command by verb. docs/rfc-compliance.md shows all of them on one page, with their permissions and what
 * they do during a transfer.
 */
import type { PassivePorts } from '../data/passive-ports.ts';
import type { TransferSettings } from '../data/transfer.ts';
import { reply } from './reply.ts';
import { withParsedArgument, type ArgumentOptions } from './arguments.ts';
import { checksumCommands } from './checksums.ts';
import type { Command } from './command.ts';
import { dataConnectionCommands, type DataConnectionOptions } from './data-connection.ts';
import { featureCommands } from './features.ts';
import { fileTimeCommands, type FileTimeOptions } from './file-times.ts';
import { fileCommands } from './files.ts';
import { listingCommands } from './listing.ts';
import { loginCommands, type LoginOptions } from './login.ts';
import { securityCommands } from './security.ts';
import { statusCommands } from './status.ts';
import { siteCommands } from './site.ts';
import { fileTransferCommands } from './file-transfer.ts';
import { transferParameterCommands } from './transfer-parameters.ts';

/** Functions that operators can switch off. */
export type FunctionSwitches = {
  readonly modeZ: 'on' | 'off';
  readonly hash: 'on' | 'off';
  readonly listRecursive: 'on' | 'off';
};

export type CommandOptions = ArgumentOptions &
  FunctionSwitches &
  LoginOptions &
  DataConnectionOptions &
  FileTimeOptions &
  TransferSettings & { readonly passivePorts: PassivePorts };

/** Builds the table, in the order of docs/rfc-compliance.md. Throws if two rows have the same verb. */
export function commandTable(options: CommandOptions): ReadonlyMap<string, Command> {
  const table = new Map<string, Command>();
  const commands = [
    ...loginCommands(options),
    ...securityCommands(options),
    ...statusCommands(),
    ...transferParameterCommands(options),
    ...dataConnectionCommands(options),
    ...withRequiredProtection(options, [...fileTransferCommands(options), ...listingCommands(options)]),
    ...fileCommands(),
    ...fileTimeCommands(options),
    ...(options.hash === 'on' ? checksumCommands() : []),
    ...siteCommands(options),
    ...featureCommands(() => table, options),
  ];
  for (const command of commands) {
    if (table.has(command.verb)) throw new Error(`The command table has ${command.verb} twice.`);
    table.set(command.verb, withParsedArgument(command, options));
  }
  return table;
}

const protectionFirst = reply(
  521,
  'Data connections must be protected here: send PBSZ 0 and PROT P first.',
  'TLS-PROT',
);
/** Transfer and listing commands that need no data connection. */
const withoutData: ReadonlySet<string> = new Set(['REST', 'MLST']);

/** RFC 4217 10.2: 521 if data connections at the current protection level are not allowed. */
function withRequiredProtection({ tls }: LoginOptions, commands: readonly Command[]): readonly Command[] {
  if (tls !== 'required') return commands;
  return commands.map((command) => {
    if (command.access === 'anyone' || withoutData.has(command.verb)) return command;
    return {
      ...command,
      handle: (session, login, argument) =>
        session.protectionLevel === 'P' ? command.handle(session, login, argument) : protectionFirst,
    };
  });
}
