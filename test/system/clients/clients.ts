/** The command lines of each client, as its manual gives them. */
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client, Deed, Invocation, Security, Server } from './client.ts';

const everySecurity: readonly Security[] = ['plain', 'explicit', 'implicit'];

/** Whether a program is installed; not every one of them can be asked for its version and nothing else. */
function onPath(program: string): Invocation {
  return { program: 'sh', arguments: ['-c', 'command -v "$0"', program] };
}

const curl: Client = {
  name: 'curl',
  securities: everySecurity,
  probe: onPath('curl'),
  invocation(server, deed) {
    const { host, port, security, username, password, caFile } = server;
    const root = `${security === 'implicit' ? 'ftps' : 'ftp'}://${host}:${port}`;
    const common = ['--silent', '--show-error', '--disable', '--user', `${username}:${password}`];
    if (security !== 'plain') common.push('--ssl-reqd', '--cacert', caFile);
    // EPSV is what it asks for first. With PASV it takes the address of the 227 reply, as other clients do.
    if (server.passive === 'PASV') common.push('--disable-epsv', '--no-ftp-skip-pasv-ip');
    const curlWith = (...rest: string[]): Invocation => ({
      program: 'curl',
      arguments: [...common, ...rest],
    });
    switch (deed.deed) {
      case 'put':
        return curlWith('--ftp-create-dirs', '--upload-file', deed.local, root + deed.remote);
      case 'get':
        return curlWith('--output', deed.local, root + deed.remote);
      case 'list':
        return curlWith('--list-only', `${root}${deed.directory}/`);
      case 'resume-get':
        return curlWith('--continue-at', '-', '--output', deed.local, root + deed.remote);
      case 'resume-put':
        return curlWith('--continue-at', '-', '--upload-file', deed.local, root + deed.remote);
      case 'rename':
        return curlWith(
          '--list-only',
          '--quote',
          `RNFR ${deed.from}`,
          '--quote',
          `RNTO ${deed.to}`,
          `${root}/`,
        );
      case 'delete':
        return curlWith('--list-only', '--quote', `DELE ${deed.path}`, `${root}/`);
    }
  },
};

const lftp: Client = {
  name: 'lftp',
  securities: everySecurity,
  probe: onPath('lftp'),
  invocation(server, deed) {
    return { program: 'lftp', arguments: ['--norc', '-c', `${lftpOpening(server)}${lftpCommand(deed)}`] };
  },
};

/** The commands that bring lftp to a logged-in session and make it fail instead of trying again. */
export function lftpOpening({ host, port, security, username, password, caFile, passive }: Server): string {
  const tls =
    security === 'plain'
      ? 'set ftp:ssl-allow no; '
      : `set ssl:ca-file ${caFile}; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; `;
  const scheme = security === 'implicit' ? 'ftps' : 'ftp';
  const mode = passive === undefined ? '' : `set ftp:prefer-epsv ${passive === 'EPSV' ? 'yes' : 'no'}; `;
  return `set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 30; ${tls}${mode}open -u ${username},${password} ${scheme}://${host}:${port}; `;
}

function lftpCommand(deed: Deed): string {
  switch (deed.deed) {
    case 'put':
      return `put "${deed.local}" -o "${deed.remote}"`;
    case 'get':
      return `get "${deed.remote}" -o "${deed.local}"`;
    case 'list':
      return `cls -1 --basename "${deed.directory}/"`;
    case 'resume-get':
      return `get -c "${deed.remote}" -o "${deed.local}"`;
    case 'resume-put':
      return `put -c "${deed.local}" -o "${deed.remote}"`;
    case 'rename':
      return `mv "${deed.from}" "${deed.to}"`;
    case 'delete':
      return `rm "${deed.path}"`;
  }
}

const wget: Client = {
  name: 'wget',
  securities: everySecurity,
  probe: onPath('wget'),
  invocation({ host, port, security, username, password, caFile }, deed) {
    const root = `${security === 'plain' ? 'ftp' : 'ftps'}://${host}:${port}`;
    const common = [
      '--quiet',
      '--no-config',
      '--tries=1',
      '--timeout=30',
      `--user=${username}`,
      `--password=${password}`,
    ];
    if (security !== 'plain') common.push(`--ca-certificate=${caFile}`);
    if (security === 'implicit') common.push('--ftps-implicit');
    const wgetWith = (...rest: string[]): Invocation => ({
      program: 'wget',
      arguments: [...common, ...rest],
    });
    switch (deed.deed) {
      case 'get':
        return wgetWith(`--output-document=${deed.local}`, root + deed.remote);
      case 'list':
        return wgetWith('--output-document=-', `${root}${deed.directory}/`);
      case 'resume-get':
        return wgetWith('--continue', `--output-document=${deed.local}`, root + deed.remote);
      case 'put':
      case 'resume-put':
      case 'rename':
      case 'delete':
        return undefined;
    }
  },
};

const ncftp: Client = {
  name: 'ncftp',
  securities: ['plain'],
  probe: onPath('ncftpput'),
  invocation({ host, port, username, password }, deed) {
    const account = ['-u', username, '-p', password, '-P', String(port)];
    const quiet = [...account, '-V', '-r', '1', '-t', '30'];
    switch (deed.deed) {
      case 'put':
        return { program: 'ncftpput', arguments: [...quiet, '-C', host, deed.local, deed.remote] };
      case 'get':
        return { program: 'ncftpget', arguments: [...quiet, '-C', host, deed.remote, deed.local] };
      case 'list':
        return { program: 'ncftpls', arguments: [...account, '-1', `ftp://${host}${deed.directory}/`] };
      case 'resume-get':
        return { program: 'ncftpget', arguments: [...quiet, '-z', '-C', host, deed.remote, deed.local] };
      case 'resume-put':
        // With sendfile(2) it says REST, and then sends the file from its beginning.
        return {
          program: 'ncftpput',
          arguments: [...quiet, '-s', '-z', '-C', host, deed.local, deed.remote],
        };
      case 'rename':
        return {
          program: 'ncftpls',
          arguments: [...account, '-W', `RNFR ${deed.from}`, '-W', `RNTO ${deed.to}`, `ftp://${host}/`],
        };
      case 'delete':
        return { program: 'ncftpls', arguments: [...account, '-W', `DELE ${deed.path}`, `ftp://${host}/`] };
    }
  },
};

const tnftp: Client = {
  name: 'tnftp',
  securities: ['plain'],
  probe: onPath('tnftp'),
  invocation({ host, port, username, password }, deed) {
    const input = [`user ${username} ${password}`, 'binary', tnftpCommand(deed), 'quit', ''].join('\n');
    return { program: 'tnftp', arguments: ['-n', '-V', host, String(port)], input };
  },
};

function tnftpCommand(deed: Deed): string {
  switch (deed.deed) {
    case 'put':
      return `put ${deed.local} ${deed.remote}`;
    case 'get':
      return `get ${deed.remote} ${deed.local}`;
    case 'list':
      return `nlist ${deed.directory} -`;
    case 'resume-get':
      return `reget ${deed.remote} ${deed.local}`;
    case 'resume-put':
      return `restart ${deed.offsetBytes}\nput ${deed.local} ${deed.remote}`;
    case 'rename':
      return `rename ${deed.from} ${deed.to}`;
    case 'delete':
      return `delete ${deed.path}`;
  }
}

const rclone: Client = {
  name: 'rclone',
  securities: everySecurity,
  probe: onPath('rclone'),
  invocation({ host, port, security, username, password }, deed) {
    const environment = {
      RCLONE_CONFIG: '/dev/null',
      RCLONE_FTP_HOST: host,
      RCLONE_FTP_PORT: String(port),
      RCLONE_FTP_USER: username,
      // rclone wants the password obscured, so its own program does that first: see `rclone obscure`.
      CLIENT_PASSWORD: password,
      RCLONE_FTP_TLS: String(security === 'implicit'),
      RCLONE_FTP_EXPLICIT_TLS: String(security === 'explicit'),
      RCLONE_FTP_NO_CHECK_CERTIFICATE: 'true',
      RCLONE_RETRIES: '1',
      RCLONE_LOW_LEVEL_RETRIES: '1',
    };
    const rcloneWith = (...rest: string[]): Invocation => ({
      program: 'sh',
      arguments: [
        '-c',
        'RCLONE_FTP_PASS="$(rclone obscure "$CLIENT_PASSWORD")" exec rclone "$@"',
        'rclone',
        ...rest,
      ],
      environment,
    });
    switch (deed.deed) {
      case 'put':
        return rcloneWith('copyto', deed.local, `:ftp:${deed.remote}`);
      case 'get':
        return rcloneWith('copyto', `:ftp:${deed.remote}`, deed.local);
      case 'list':
        return rcloneWith('lsf', `:ftp:${deed.directory}`);
      case 'rename':
        return rcloneWith('moveto', `:ftp:${deed.from}`, `:ftp:${deed.to}`);
      case 'delete':
        return rcloneWith('deletefile', `:ftp:${deed.path}`);
      case 'resume-get':
      case 'resume-put':
        return undefined;
    }
  },
};

/** A client that is a script of ours around a library; all scripts take the same arguments. */
function scripted(
  name: string,
  securities: readonly Security[],
  program: string,
  scriptArguments: readonly string[],
  probeArguments: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Client {
  return {
    name,
    securities,
    probe: { program, arguments: probeArguments },
    invocation({ security, host, port, username, password, caFile, passive }, deed) {
      const server = [security, host, String(port), username, password, caFile];
      return {
        program,
        arguments: [...scriptArguments, ...server, deed.deed, ...scriptOperands(deed)],
        environment: { ...environment, ...(passive !== undefined && { FTP_PASSIVE: passive }) },
      };
    },
  };
}

function scriptOperands(deed: Deed): readonly string[] {
  switch (deed.deed) {
    case 'put':
    case 'resume-put':
      return [deed.local, deed.remote];
    case 'get':
    case 'resume-get':
      return [deed.remote, deed.local];
    case 'list':
      return [deed.directory];
    case 'rename':
      return [deed.from, deed.to];
    case 'delete':
      return [deed.path];
  }
}

const script = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const commonsNetJar = '/usr/share/java/commons-net.jar';

const ftplib = scripted(
  'ftplib',
  everySecurity,
  'python3',
  [script('ftplib_client.py')],
  ['-c', 'import ftplib, ssl'],
);
const ftplibReusing = scripted(
  'ftplib with session reuse',
  ['explicit', 'implicit'],
  'python3',
  [script('ftplib_client.py')],
  ['-c', 'import ftplib, ssl'],
  { FTPLIB_REUSE: '1' },
);
const perl = scripted(
  'Net::FTP',
  everySecurity,
  'perl',
  [script('net_ftp_client.pl')],
  ['-MNet::FTP', '-MIO::Socket::SSL', '-e', '1'],
);
const php = scripted(
  'PHP',
  ['plain', 'explicit'],
  'php',
  [script('php_client.php')],
  ['-r', 'exit(function_exists("ftp_ssl_connect") ? 0 : 1);'],
);
const commonsNetClasses = join(tmpdir(), `commons-net-client-${process.pid}`);
process.once('exit', () => rmSync(commonsNetClasses, { recursive: true, force: true }));
const commonsNet: Client = {
  ...scripted(
    'commons-net',
    everySecurity,
    'java',
    ['-cp', `${commonsNetJar}:${commonsNetClasses}`, 'CommonsNetClient'],
    [],
  ),
  timesVariable: 'COMMONS_NET_TIMES',
  // Compiled once: starting from the source takes seconds each time.
  probe: {
    program: 'javac',
    arguments: ['-cp', commonsNetJar, '-d', commonsNetClasses, script('CommonsNetClient.java')],
  },
};

// The way around a server that demands resumption, as users of the library pass it on: it works in TLS 1.2 only, and puts
// the client's last word at the end of the handshake.
const commonsNetReusing: Client = {
  ...commonsNet,
  name: 'commons-net with session reuse',
  securities: ['explicit', 'implicit'],
  invocation(server, deed) {
    const invocation = commonsNet.invocation(server, deed);
    if (invocation === undefined) return undefined;
    const options = [
      '--add-opens=java.base/sun.security.ssl=ALL-UNNAMED',
      '--add-opens=java.base/sun.security.util=ALL-UNNAMED',
      '-Djdk.tls.useExtendedMasterSecret=false',
      '-Djdk.tls.client.protocols=TLSv1.2',
    ];
    return {
      ...invocation,
      arguments: [...options, ...invocation.arguments],
      environment: { COMMONS_NET_REUSE: '1' },
    };
  },
};
const goProgram = join(tmpdir(), `go-ftp-client-${process.pid}`);
process.once('exit', () => rmSync(goProgram, { force: true }));
const goClient: Client = {
  ...scripted('Go jlaffaye/ftp', everySecurity, goProgram, [], []),
  probe: { program: 'go', arguments: ['build', '-C', script('go'), '-o', goProgram, '.'] },
};

/** Every client that is a program of its own; basic-ftp, a library, is driven in `basic-ftp.test.ts`. */
export const clients: readonly Client[] = [
  curl,
  lftp,
  wget,
  ncftp,
  tnftp,
  rclone,
  ftplib,
  ftplibReusing,
  perl,
  php,
  commonsNet,
  commonsNetReusing,
  goClient,
];
