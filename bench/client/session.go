package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	timeout          = 60 * time.Second
	handshakeTimeout = 5 * time.Second
)

// A session is one control connection.
type session struct {
	host      string
	control   net.Conn
	replies   *bufio.Reader
	tlsConfig *tls.Config
}

// logIn connects and logs in, in TYPE I, and with PROT P unless in clear.
func logIn(o options) (*session, error) {
	host, _, err := net.SplitHostPort(o.address)
	if err != nil {
		return nil, err
	}
	connection, err := net.DialTimeout("tcp", o.address, timeout)
	if err != nil {
		return nil, err
	}
	s := &session{host: host, control: connection}
	// The cache of one session alone, so that data connections resume it and other sessions do not. Servers may have any certificate.
	s.tlsConfig = &tls.Config{
		InsecureSkipVerify: true,
		ServerName:         "localhost",
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	if err := s.greet(o); err != nil {
		connection.Close()
		return nil, err
	}
	return s, nil
}

func (s *session) greet(o options) error {
	if o.security == "implicit" {
		if err := s.secure(); err != nil {
			return err
		}
	}
	s.replies = bufio.NewReader(s.control)
	if _, err := s.expect(2); err != nil {
		return err
	}
	if o.security == "explicit" {
		if _, err := s.command(2, "AUTH TLS"); err != nil {
			return err
		}
		if err := s.secure(); err != nil {
			return err
		}
		s.replies = bufio.NewReader(s.control)
	}
	if _, err := s.command(3, "USER "+o.user); err != nil {
		return err
	}
	if _, err := s.command(2, "PASS "+o.password); err != nil {
		return err
	}
	if o.security != "clear" {
		// With implicit TLS some servers refuse the commands, and protect data connections nevertheless.
		wanted := 2
		if o.security == "implicit" {
			wanted = 0
		}
		if _, err := s.command(wanted, "PBSZ 0"); err != nil {
			return err
		}
		if _, err := s.command(wanted, "PROT P"); err != nil {
			return err
		}
	}
	_, err := s.command(2, "TYPE I")
	return err
}

func (s *session) secure() error {
	secured := tls.Client(s.control, s.tlsConfig)
	secured.SetDeadline(time.Now().Add(timeout))
	s.control = secured
	return secured.Handshake()
}

// enter changes to a directory of the root, and creates it if it is missing.
func (s *session) enter(directory string) error {
	if directory == "" {
		return nil
	}
	if _, err := s.command(2, "CWD "+directory); err == nil {
		return nil
	}
	// Another session may have created it meanwhile.
	s.command(0, "MKD "+directory)
	_, err := s.command(2, "CWD "+directory)
	return err
}

func (s *session) quit() {
	s.command(0, "QUIT")
	s.control.Close()
}

// command sends a line and reads its reply, whose code must begin with this digit; 0 accepts any.
func (s *session) command(digit int, line string) (string, error) {
	if err := s.send(line); err != nil {
		return "", err
	}
	text, err := s.expect(digit)
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.SplitN(line, " ", 2)[0], err)
	}
	return text, nil
}

func (s *session) send(line string) error {
	s.control.SetDeadline(time.Now().Add(timeout))
	_, err := s.control.Write([]byte(line + "\r\n"))
	return err
}

// expect reads a reply (RFC 959, 4.2), which may have several lines.
func (s *session) expect(digit int) (string, error) {
	s.control.SetDeadline(time.Now().Add(timeout))
	code := ""
	for {
		line, err := s.replies.ReadString('\n')
		if err != nil {
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		if code == "" && len(line) >= 3 {
			code = line[:3]
		}
		if len(line) < 4 || line[:3] != code || line[3] != ' ' {
			continue
		}
		if digit != 0 && line[0] != byte('0'+digit) {
			return "", errors.New(line)
		}
		return line, nil
	}
}

// dataAddress asks for a passive port (RFC 2428).
func (s *session) dataAddress() (string, error) {
	text, err := s.command(2, "EPSV")
	if err != nil {
		return "", err
	}
	from, to := strings.Index(text, "(|||"), strings.LastIndex(text, "|)")
	if from < 0 || to < from+4 {
		return "", errors.New("no port in " + text)
	}
	port, err := strconv.Atoi(text[from+4 : to])
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(s.host, strconv.Itoa(port)), nil
}
