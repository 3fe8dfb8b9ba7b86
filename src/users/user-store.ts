/** The users in force: read from a file or a secret, and read again while the gateway runs. */
import { fileSource, secretSource, WatchedDocument } from '../util/watched-document.ts';
import type { Observe } from '../observability/event.ts';
import { PasswordHash } from './password.ts';
import type { Authenticate } from './user.ts';
import { type Account, type DefaultHome, parseUsersFile } from './users-file.ts';

/** Where the users are kept. */
export type UsersSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'secretsmanager'; readonly arn: string };

export type UserStore = {
  find(name: string): Account | undefined;
  /** What the password of a user who does not exist is checked against: it costs as much as a real one. */
  readonly decoy: PasswordHash;
  close(): void;
};

export type UserStoreOptions = {
  readonly source: UsersSource;
  readonly defaultHome: DefaultHome;
  /** Between two looks at a secret. */
  readonly refreshMs: number;
  readonly observe: Observe;
};

/** A file on this machine costs nothing to look at. */
const fileIntervalMs = 1000;

/**
 * Rejects where the users cannot be read at all; afterwards the last good version is kept. A wrong entry shuts out its
 * user alone, then and later, and is observed.
 */
export async function openUserStore(options: UserStoreOptions): Promise<UserStore> {
  const { source, defaultHome, observe } = options;
  let accounts: ReadonlyMap<string, Account> = new Map();
  let decoy = PasswordHash.decoy();
  const document = await WatchedDocument.open({
    source: source.kind === 'file' ? fileSource(source.path) : secretSource(source.arn),
    intervalMs: source.kind === 'file' ? Math.min(fileIntervalMs, options.refreshMs) : options.refreshMs,
    load(text) {
      const file = parseUsersFile(text, defaultHome);
      accounts = file.accounts;
      // The first user's cost stands for all: they come from one `npm run hash-password`.
      const [first] = accounts.values();
      decoy = first?.passwordHash.decoy() ?? PasswordHash.decoy();
      observe({ event: 'users-loaded', users: accounts.size, problems: file.problems });
    },
    failed: ({ message }) => observe({ event: 'config-reload-failed', config: 'users', reason: message }),
  });
  return {
    find: (name) => accounts.get(name),
    get decoy() {
      return decoy;
    },
    close: () => document.close(),
  };
}

/** Checks logins against the users document. An unknown name costs as much time as a wrong password, so timing does not reveal which names exist. */
export function passwordAuthenticator(users: UserStore): Authenticate {
  return async ({ username, password }, signal) => {
    const account = users.find(username);
    const isRight = await (account?.passwordHash ?? users.decoy).verify(password, signal);
    return isRight ? account?.user : undefined;
  };
}
