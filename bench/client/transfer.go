package main

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"
)

// As much as is written and read at once.
const blockBytes = 256 * 1024

type moved struct {
	bytes            int64
	checksum         uint32
	secured, resumed bool
}

// A worker has the buffer of one session.
type worker struct {
	options
	block []byte
}

func newWorker(o options) *worker {
	w := &worker{options: o, block: make([]byte, blockBytes)}
	if o.operation == "stor" {
		// Not compressible, and the same in every run.
		state := uint32(2463534242)
		for at := 0; at < len(w.block); at += 4 {
			state ^= state << 13
			state ^= state >> 17
			state ^= state << 5
			binary.LittleEndian.PutUint32(w.block[at:], state)
		}
	}
	return w
}

// transfer moves one file, on a data connection of its own.
func (w *worker) transfer(s *session, name string, number int) (moved, error) {
	result := moved{}
	address, err := s.dataAddress()
	if err != nil {
		return result, err
	}
	verb := "STOR"
	if w.operation == "retr" {
		verb = "RETR"
	}
	// The command goes first: servers may accept the connection only after it, and the reply is read when the connection is there.
	if err := s.send(verb + " " + name); err != nil {
		return result, err
	}
	data, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return result, err
	}
	defer data.Close()
	if _, err := s.expect(1); err != nil {
		return result, fmt.Errorf("%s: %w", verb, err)
	}
	if w.security != "clear" {
		secured := tls.Client(data, s.tlsConfig)
		data.SetDeadline(time.Now().Add(handshakeTimeout))
		if err := secured.Handshake(); err != nil {
			return result, fmt.Errorf("TLS on the data connection: %w", err)
		}
		result.secured, result.resumed = true, secured.ConnectionState().DidResume
		data = secured
	}
	data.SetDeadline(time.Now().Add(2 * timeout))
	if verb == "STOR" {
		err = w.sendFile(data, number, &result)
	} else {
		err = w.receiveFile(data, &result)
	}
	if err != nil {
		return result, err
	}
	if _, err := s.expect(2); err != nil {
		return result, fmt.Errorf("%s: %w", verb, err)
	}
	return result, nil
}

// Each block begins with the number of its file and its place, so that misplaced bytes change the checksum.
func (w *worker) sendFile(data net.Conn, number int, result *moved) error {
	for result.bytes < w.bytes {
		binary.BigEndian.PutUint64(w.block, uint64(number)<<40|uint64(result.bytes/blockBytes))
		bytes := w.block[:min(int64(len(w.block)), w.bytes-result.bytes)]
		result.checksum = crc32.Update(result.checksum, crc32.IEEETable, bytes)
		if _, err := data.Write(bytes); err != nil {
			return err
		}
		result.bytes += int64(len(bytes))
	}
	return finish(data)
}

// finish ends an upload. Closing a connection with unread bytes resets it (RFC 9293, 3.10.4), and under TLS 1.3 tickets may be unread.
func finish(data net.Conn) error {
	secured, isSecured := data.(*tls.Conn)
	if !isSecured {
		return data.Close()
	}
	if err := secured.CloseWrite(); err != nil {
		return err
	}
	if err := secured.NetConn().(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	// An end without close_notify is for the server to judge, which confirms the file or does not.
	secured.SetDeadline(time.Now().Add(handshakeTimeout))
	io.Copy(io.Discard, secured)
	return data.Close()
}

func (w *worker) receiveFile(data net.Conn, result *moved) error {
	for {
		count, err := data.Read(w.block)
		result.checksum = crc32.Update(result.checksum, crc32.IEEETable, w.block[:count])
		result.bytes += int64(count)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	// As clients do; some servers wait for it before they reply.
	data.Close()
	if result.bytes != w.bytes {
		return fmt.Errorf("%d of %d bytes", result.bytes, w.bytes)
	}
	return nil
}
