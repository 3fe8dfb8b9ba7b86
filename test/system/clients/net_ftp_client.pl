# One deed with Perl's Net::FTP: perl net_ftp_client.pl SECURITY HOST PORT USER PASSWORD CA_FILE DEED ARGUMENTS...
use strict;
use warnings;
use Net::FTP;

my ($security, $host, $port, $user, $password, $ca_file, $deed, @arguments) = @ARGV;

my %tls = $security eq 'plain' ? () : (SSL_ca_file => $ca_file, SSL_verifycn_name => 'localhost');
my $ftp = Net::FTP->new(
    $host,
    Port    => $port,
    Passive => 1,
    Timeout => 60,
    ($security eq 'implicit' ? (SSL => 1) : ()),
    %tls,
) or die "connect: $@\n";
if ($security eq 'explicit') { $ftp->starttls(%tls) or die 'starttls: ' . $ftp->message }
$ftp->login($user, $password) or die 'login: ' . $ftp->message;
if ($security ne 'plain') { $ftp->prot('P') or die 'prot: ' . $ftp->message }
$ftp->binary;

if ($deed eq 'put') {
    $ftp->put(@arguments) or die 'put: ' . $ftp->message;
} elsif ($deed eq 'get') {
    $ftp->get(@arguments) or die 'get: ' . $ftp->message;
} elsif ($deed eq 'list') {
    print "$_\n" for map { s{.*/}{}r } $ftp->ls($arguments[0]);
} elsif ($deed eq 'resume-get') {
    $ftp->get($arguments[0], $arguments[1], -s $arguments[1]) or die 'resume-get: ' . $ftp->message;
} elsif ($deed eq 'resume-put') {
    my $offset = $ftp->size($arguments[1]);
    open(my $file, '<:raw', $arguments[0]) or die "$arguments[0]: $!\n";
    seek($file, $offset, 0);
    $ftp->append($file, $arguments[1]) or die 'resume-put: ' . $ftp->message;
} elsif ($deed eq 'rename') {
    $ftp->rename(@arguments) or die 'rename: ' . $ftp->message;
} elsif ($deed eq 'delete') {
    $ftp->delete($arguments[0]) or die 'delete: ' . $ftp->message;
} else {
    die "unknown deed $deed\n";
}
$ftp->quit;
