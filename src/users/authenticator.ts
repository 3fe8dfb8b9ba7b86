/** Checks a login against the users file. */
import type { Authenticate } from './user.ts';
import type { UserStore } from './user-store.ts';

/** A name that does not exist costs as much time as a wrong password, so that nobody can find out which names do. */
export function passwordAuthenticator(users: UserStore): Authenticate {
  return async ({ username, password }, signal) => {
    const account = users.find(username);
    const isRight = await (account?.passwordHash ?? users.decoy).verify(password, signal);
    return isRight ? account?.user : undefined;
  };
}
