/**
 * vsftpd and ProFTPD on a folder in memory: what an FTP server takes when there is no S3 behind it. They need root, as the programs
 * start as root and change to another user for each session.
 */
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../test/support/loopback-port.ts';
import { startPeer, type Peer, type TlsFiles } from '../support/peer.ts';
import { freeRange } from './local-peers.ts';

/**
 * With anonymous logins, which may write here: local users would need an account of this machine. So a login verifies no password.
 * @param folder of its files.
 */
export async function startVsftpd(folder: string, tls?: TlsFiles): Promise<Peer> {
  const port = await freePort();
  const passivePorts = await freeRange(64);
  // It refuses anonymous logins where the root is writable.
  for (const directory of ['large-1', 'small-1', 'small-16']) {
    await mkdir(join(folder, directory), { recursive: true });
    await chmod(join(folder, directory), 0o777);
  }
  const lines = {
    listen: 'YES',
    listen_address: '127.0.0.1',
    listen_port: String(port),
    background: 'NO',
    anonymous_enable: 'YES',
    no_anon_password: 'NO',
    local_enable: 'NO',
    // A user without rights whose home exists.
    ftp_username: 'daemon',
    anon_root: folder,
    write_enable: 'YES',
    anon_upload_enable: 'YES',
    anon_mkdir_write_enable: 'YES',
    anon_other_write_enable: 'YES',
    anon_world_readable_only: 'NO',
    anon_umask: '022',
    secure_chroot_dir: '/var/empty',
    pasv_min_port: String(Math.min(...passivePorts)),
    pasv_max_port: String(Math.max(...passivePorts)),
    max_clients: '0',
    max_per_ip: '0',
    xferlog_enable: 'NO',
    ...(tls && {
      ssl_enable: 'YES',
      allow_anon_ssl: 'YES',
      force_anon_logins_ssl: 'YES',
      force_anon_data_ssl: 'YES',
      rsa_cert_file: tls.certificate,
      rsa_private_key_file: tls.key,
      ssl_ciphers: 'HIGH',
      require_ssl_reuse: 'NO',
    }),
  };
  await mkdir('/var/empty', { recursive: true });
  const file = `${folder}.conf`;
  await writeFile(
    file,
    Object.entries(lines)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
  return startPeer({
    name: 'vsftpd, disk',
    version: versionOf('vsftpd', '3.0.3'),
    program: 'vsftpd',
    arguments: [file],
    environment: {},
    account: { host: '127.0.0.1', port, username: 'anonymous', password: 'bench@' },
  });
}

export async function startProftpd(folder: string, tls?: TlsFiles): Promise<Peer> {
  const port = await freePort();
  const passivePorts = await freeRange(64);
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o777);
  const hash = execFileSync('openssl', ['passwd', '-6', 'bench'], { encoding: 'utf8' }).trim();
  const users = `${folder}.users`;
  await writeFile(users, `bench:${hash}:65534:65534::${folder}:/bin/sh\n`, { mode: 0o600 });
  const file = `${folder}.conf`;
  const modules = '/usr/lib/proftpd';
  const lines = [
    `ModulePath ${modules}`,
    ...(tls ? ['LoadModule mod_tls.c'] : []),
    'ServerName bench',
    'ServerType standalone',
    'DefaultAddress 127.0.0.1',
    'SocketBindTight on',
    `Port ${port}`,
    `PassivePorts ${Math.min(...passivePorts)} ${Math.max(...passivePorts)}`,
    'UseIPv6 off',
    'UseReverseDNS off',
    'User nobody',
    'Group nogroup',
    'MaxInstances none',
    `PidFile ${folder}.pid`,
    `ScoreboardFile ${folder}.scoreboard`,
    `DelayTable none`,
    'TransferLog none',
    'WtmpLog off',
    `SystemLog none`,
    'AuthOrder mod_auth_file.c',
    `AuthUserFile ${users}`,
    'RequireValidShell off',
    'AuthPAM off',
    `DefaultRoot ${folder}`,
    'AllowOverwrite on',
    ...(tls
      ? [
          'TLSEngine on',
          `TLSECCertificateFile ${tls.certificate}`,
          `TLSECCertificateKeyFile ${tls.key}`,
          'TLSRequired on',
          'TLSOptions NoSessionReuseRequired',
          'TLSLog none',
        ]
      : []),
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  return startPeer({
    name: 'ProFTPD, disk',
    version: versionOf('proftpd', 'unknown'),
    program: 'proftpd',
    arguments: ['-n', '-q', '-c', file],
    environment: {},
    account: { host: '127.0.0.1', port, username: 'bench', password: 'bench' },
  });
}

// vsftpd prints its version on standard input.
function versionOf(program: string, fallback: string): string {
  try {
    const text = execFileSync('sh', ['-c', `${program} -v 0>&1 2>&1 || true`], { encoding: 'utf8' });
    return /\d+\.\d+\.\d+\w*/.exec(text)?.[0] ?? fallback;
  } catch {
    return fallback;
  }
}
