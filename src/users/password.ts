/**
 * Password hashes: created by `npm run hash-password`, stored in the users document, verified at login. A hash is
 * `scrypt:N=16384,r=8,p=5:SALT:KEY`, salt and key in base64url; the parameters are OWASP's for 16 MiB (Password Storage
 * Cheat Sheet); a document can use others.
 */
import { createHmac, createSecretKey, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';

type Cost = { readonly N: number; readonly r: number; readonly p: number };

const defaultCost: Cost = { N: 16_384, r: 8, p: 5 };
const saltBytes = 16;
const keyBytes = 32;

/** A higher cost would let one entry of the users document exhaust the memory or CPU of the task at every login. */
const maxMemoryBytes = 64 * 1024 * 1024;
const maxWork = 2 ** 22;

/** Key of the HMACs of verified passwords; never leaves the process. */
const processKey = createSecretKey(randomBytes(32));

/** A password hash. It prints as `[redacted]`, so it cannot reach a log by accident. */
export class PasswordHash {
  readonly #cost: Cost;
  readonly #salt: Buffer;
  readonly #key: Buffer;
  /** HMAC of the last verified password, with a key that only this process has. */
  #verified: Buffer | undefined;

  private constructor(cost: Cost, salt: Buffer, key: Buffer) {
    this.#cost = cost;
    this.#salt = salt;
    this.#key = key;
  }

  /** Returns undefined if the text is not a hash that the gateway can verify. */
  static parse(text: string): PasswordHash | undefined {
    const pattern = /^scrypt:N=([0-9]{1,8}),r=([0-9]{1,3}),p=([0-9]{1,3}):([\w-]{22,86}):([\w-]{43,86})$/;
    const [, N, r, p, salt, key] = pattern.exec(text) ?? [];
    if (salt === undefined || key === undefined) return undefined;
    const cost = { N: Number(N), r: Number(r), p: Number(p) };
    return isWithinLimits(cost)
      ? new PasswordHash(cost, Buffer.from(salt, 'base64url'), Buffer.from(key, 'base64url'))
      : undefined;
  }

  /** Hashes a new password with a new salt. Resolves to the text for the users document. */
  static async create(password: string): Promise<string> {
    const salt = randomBytes(saltBytes);
    const key = await derive(password, salt, keyBytes, defaultCost);
    const { N, r, p } = defaultCost;
    return `scrypt:N=${N},r=${r},p=${p}:${salt.toString('base64url')}:${key.toString('base64url')}`;
  }

  /** A hash that matches no password and costs as much to verify as this one. */
  decoy(): PasswordHash {
    return new PasswordHash(this.#cost, randomBytes(this.#salt.length), randomBytes(this.#key.length));
  }

  /** A hash that matches no password, at the default cost. */
  static decoy(): PasswordHash {
    return new PasswordHash(defaultCost, randomBytes(saltBytes), randomBytes(keyBytes));
  }

  /**
   * Whether the password matches. It costs a whole scrypt, so the caller limits how many run at a time (`LoginChecks`). FTP
   * clients log in on each connection, so the last correct password is remembered.
   */
  async verify(password: string): Promise<boolean> {
    const key = await derive(password, this.#salt, this.#key.length, this.#cost);
    if (!timingSafeEqual(key, this.#key)) return false;
    this.#verified = fingerprint(password);
    return true;
  }

  /** Whether the password is the last correct one. Costs next to nothing. */
  isRemembered(password: string): boolean {
    return this.#verified !== undefined && timingSafeEqual(this.#verified, fingerprint(password));
  }

  /** Whether both are the same hash: same cost, salt and key. */
  equals(other: PasswordHash): boolean {
    const { N, r, p } = this.#cost;
    const isSameCost = N === other.#cost.N && r === other.#cost.r && p === other.#cost.p;
    return isSameCost && this.#salt.equals(other.#salt) && this.#key.equals(other.#key);
  }

  toString(): string {
    return '[redacted]';
  }

  toJSON(): string {
    return '[redacted]';
  }

  [inspect.custom](): string {
    return '[redacted]';
  }
}

function fingerprint(password: string): Buffer {
  return createHmac('sha256', processKey).update(password, 'utf8').digest();
}

function isWithinLimits({ N, r, p }: Cost): boolean {
  const isPowerOfTwo = N >= 1024 && Number.isInteger(Math.log2(N));
  return isPowerOfTwo && r >= 1 && p >= 1 && 128 * N * r <= maxMemoryBytes && N * r * p <= maxWork;
}

function derive(password: string, salt: Buffer, length: number, cost: Cost): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  // Node counts slightly more memory than 128 * N * r, which is what the definition of scrypt needs.
  const options = { ...cost, maxmem: 2 * maxMemoryBytes };
  scrypt(password.normalize('NFC'), salt, length, options, (error, key) => {
    if (error === null) resolve(key);
    else reject(error);
  });
  return promise;
}
