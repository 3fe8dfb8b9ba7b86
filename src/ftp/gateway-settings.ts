/** The settings of the FTP side, and their defaults. */
import type { SecureVersion } from 'node:tls';
import type { FileTimes } from '../filesystem/filesystem.ts';
import type { AdvertisedAddress } from '../net/advertised-address.ts';
import { Networks } from '../net/networks.ts';
import { defaultCiphers, type DataResumption } from '../tls/context.ts';
import type { BackslashMeaning } from './commands/arguments.ts';
import type { TextEncoding } from './commands/text-encoding.ts';

/** Settings with a default. Each has the meaning of the environment variable of that name (docs/configuration.md). */
export type GatewaySettings = {
  readonly listenAddress: string;
  readonly advertisedAddress: AdvertisedAddress;
  readonly proxyProtocol: 'off' | 'v2';
  readonly proxyProtocolFrom: Networks;
  readonly tls: 'off' | 'optional' | 'required';
  readonly tlsMinVersion: SecureVersion;
  readonly tlsCiphers: string;
  readonly tlsDataResumption: DataResumption;
  readonly filenameEncoding: TextEncoding;
  readonly pathnameBackslash: BackslashMeaning;
  readonly activeMode: 'on' | 'off';
  readonly modeZ: 'on' | 'off';
  readonly hash: 'on' | 'off';
  readonly listRecursive: 'on' | 'off';
  /** Whose times files show. The filesystems need the same setting. */
  readonly fileTimes: FileTimes;
  readonly loginTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly dataConnectionTimeoutMs: number;
  readonly passivePortWaitMs: number;
  readonly stallTimeoutMs: number;
  readonly uploadGraceMs: number;
  readonly handshakeTimeoutMs: number;
  readonly maxSessionMs: number;
  readonly maxUnauthenticated: number;
  readonly maxUnauthenticatedPerAddress: number;
  readonly maxSessions: number;
  readonly maxSessionsPerAddress: number;
  readonly maxSessionsPerUser: number;
  readonly maxLoginAttempts: number;
  readonly maxLoginFailures: number;
  readonly loginBanMs: number;
  readonly loginBanExempt: Networks;
};

/** Also the defaults of the environment variables. */
export const gatewayDefaults: GatewaySettings = {
  listenAddress: '0.0.0.0',
  advertisedAddress: { kind: 'auto' },
  proxyProtocol: 'off',
  proxyProtocolFrom: Networks.none,
  tls: 'off',
  tlsMinVersion: 'TLSv1.2',
  tlsCiphers: defaultCiphers,
  tlsDataResumption: 'optional',
  filenameEncoding: 'utf-8',
  pathnameBackslash: 'literal',
  activeMode: 'on',
  modeZ: 'on',
  hash: 'on',
  listRecursive: 'on',
  fileTimes: 'upload',
  loginTimeoutMs: 60_000,
  idleTimeoutMs: 900_000,
  dataConnectionTimeoutMs: 30_000,
  passivePortWaitMs: 10_000,
  stallTimeoutMs: 300_000,
  uploadGraceMs: 250,
  handshakeTimeoutMs: 10_000,
  maxSessionMs: 24 * 3_600_000,
  maxUnauthenticated: 500,
  maxUnauthenticatedPerAddress: 200,
  maxSessions: 2_000,
  maxSessionsPerAddress: 500,
  maxSessionsPerUser: 500,
  maxLoginAttempts: 3,
  maxLoginFailures: 20,
  loginBanMs: 300_000,
  loginBanExempt: Networks.none,
};

/** Settings that are absent or undefined get their defaults. */
export function withDefaults(options: {
  readonly [Name in keyof GatewaySettings]?: GatewaySettings[Name] | undefined;
}): GatewaySettings {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...gatewayDefaults, ...(Object.fromEntries(given) as Partial<GatewaySettings>) };
}
