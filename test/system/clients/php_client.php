<?php
// One deed with PHP's ftp functions: php php_client.php SECURITY HOST PORT USER PASSWORD CA_FILE DEED ARGUMENTS...
// PHP knows explicit TLS only, and does not check certificates.

[, $security, $host, $port, $user, $password, , $deed] = $argv;
$arguments = array_slice($argv, 8);

function must(mixed $result, string $what): mixed
{
    if ($result === false || $result === -1) {
        fwrite(STDERR, "$what failed\n");
        exit(1);
    }
    return $result;
}

$ftp = must($security === 'explicit' ? ftp_ssl_connect($host, (int) $port, 60) : ftp_connect($host, (int) $port, 60), 'connect');
must(ftp_login($ftp, $user, $password), 'login');
must(ftp_pasv($ftp, true), 'passive');

switch ($deed) {
    case 'put':
        must(ftp_put($ftp, $arguments[1], $arguments[0], FTP_BINARY), $deed);
        break;
    case 'get':
        must(ftp_get($ftp, $arguments[1], $arguments[0], FTP_BINARY), $deed);
        break;
    case 'list':
        foreach (must(ftp_nlist($ftp, $arguments[0]), $deed) as $name) {
            echo basename($name), "\n";
        }
        break;
    case 'resume-get':
        must(ftp_get($ftp, $arguments[1], $arguments[0], FTP_BINARY, filesize($arguments[1])), $deed);
        break;
    case 'resume-put':
        must(ftp_put($ftp, $arguments[1], $arguments[0], FTP_BINARY, must(ftp_size($ftp, $arguments[1]), 'size')), $deed);
        break;
    case 'rename':
        must(ftp_rename($ftp, $arguments[0], $arguments[1]), $deed);
        break;
    case 'delete':
        must(ftp_delete($ftp, $arguments[0]), $deed);
        break;
    default:
        must(false, "unknown deed $deed");
}
ftp_close($ftp);
