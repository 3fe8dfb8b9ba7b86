module ftp-load-client

go 1.22
