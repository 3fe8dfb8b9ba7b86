// Command ftpclient does one thing with jlaffaye/ftp, the usual FTP library of Go programs:
// ftpclient SECURITY HOST PORT USER PASSWORD CA_FILE DEED ARGUMENTS...
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/jlaffaye/ftp"
)

func main() {
	if len(os.Args) < 9 {
		fail(fmt.Errorf("too few arguments: %v", os.Args[1:]))
	}
	security, host, port, user, password, caFile := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]
	client, err := connect(security, host, port, caFile)
	if err != nil {
		fail(fmt.Errorf("connect: %w", err))
	}
	if err := client.Login(user, password); err != nil {
		fail(fmt.Errorf("login: %w", err))
	}
	if err := perform(client, os.Args[7], os.Args[8:]); err != nil {
		fail(fmt.Errorf("%s: %w", os.Args[7], err))
	}
	if err := client.Quit(); err != nil {
		fail(fmt.Errorf("quit: %w", err))
	}
}

func connect(security, host, port, caFile string) (*ftp.ServerConn, error) {
	options := []ftp.DialOption{ftp.DialWithTimeout(60 * time.Second)}
	if security != "plain" {
		certificate, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(certificate) {
			return nil, fmt.Errorf("no certificate in %s", caFile)
		}
		config := &tls.Config{RootCAs: roots, ServerName: host}
		if os.Getenv("GO_CLIENT_TLS") == "1.2" {
			config.MaxVersion = tls.VersionTLS12
		}
		if os.Getenv("GO_CLIENT_REUSE") == "1" {
			config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		}
		if security == "implicit" {
			options = append(options, ftp.DialWithTLS(config))
		} else {
			options = append(options, ftp.DialWithExplicitTLS(config))
		}
	}
	return ftp.Dial(net.JoinHostPort(host, port), options...)
}

func perform(client *ftp.ServerConn, deed string, arguments []string) error {
	switch deed {
	case "put":
		file, err := os.Open(arguments[0])
		if err != nil {
			return err
		}
		defer file.Close()
		return client.Stor(arguments[1], file)
	case "get":
		return get(client, arguments[0], arguments[1], 0)
	case "list":
		names, err := client.NameList(arguments[0])
		for _, name := range names {
			fmt.Println(name)
		}
		return err
	case "resume-get":
		kept, err := os.Stat(arguments[1])
		if err != nil {
			return err
		}
		return get(client, arguments[0], arguments[1], kept.Size())
	case "resume-put":
		offset, err := client.FileSize(arguments[1])
		if err != nil {
			return err
		}
		file, err := os.Open(arguments[0])
		if err != nil {
			return err
		}
		defer file.Close()
		if _, err := file.Seek(offset, io.SeekStart); err != nil {
			return err
		}
		return client.StorFrom(arguments[1], file, uint64(offset))
	case "rename":
		return client.Rename(arguments[0], arguments[1])
	case "delete":
		return client.Delete(arguments[0])
	}
	return fmt.Errorf("unknown deed")
}

func get(client *ftp.ServerConn, remote, local string, offset int64) error {
	response, err := client.RetrFrom(remote, uint64(offset))
	if err != nil {
		return err
	}
	file, err := os.OpenFile(local, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		response.Close()
		return err
	}
	defer file.Close()
	if offset == 0 {
		if err := file.Truncate(0); err != nil {
			response.Close()
			return err
		}
	}
	if _, err := io.Copy(file, response); err != nil {
		response.Close()
		return err
	}
	// The transfer's final reply is read here.
	return response.Close()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
