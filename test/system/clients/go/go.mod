module ftpclient

go 1.24

require github.com/jlaffaye/ftp v0.2.4
