// The load client of the benchmarks: an FTP client that uses as little CPU time as possible, so that it does not limit the server under
// test. It logs in, prints "ready", starts on a line on standard input, prints its figures as JSON, and ends with standard input.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"
)

type options struct {
	address, user, password, security, directory, operation, prefix string
	sessions, files                                                 int
	bytes                                                           int64
	maxSeconds                                                      float64
}

// figures is what one run prints.
type figures struct {
	Files   int     `json:"files"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	// From the command that asks for the data port to the final reply, or from connecting to the reply to PASS.
	LatenciesMs []float64 `json:"latenciesMs"`
	// CRC-32 of what was sent or received, by the name of the file.
	Checksums map[string]uint32 `json:"checksums"`
	// TLS handshakes of data connections.
	Resumed int      `json:"resumed"`
	Full    int      `json:"full"`
	Errors  []string `json:"errors"`
}

func main() {
	o := options{}
	flag.StringVar(&o.address, "address", "127.0.0.1:21", "host and port of the control connection")
	flag.StringVar(&o.user, "user", "bench", "")
	flag.StringVar(&o.password, "password", "bench", "")
	flag.StringVar(&o.security, "security", "clear", "clear, explicit or implicit")
	flag.StringVar(&o.directory, "directory", "", "changed to after the login, and created if it is missing")
	flag.StringVar(&o.operation, "operation", "stor", "stor, retr, login or idle")
	flag.StringVar(&o.prefix, "prefix", "f", "of the names of the files")
	flag.IntVar(&o.sessions, "sessions", 1, "")
	flag.IntVar(&o.files, "files", 1, "over all sessions; logins for the operation login")
	flag.Int64Var(&o.bytes, "bytes", 4096, "of each file")
	flag.Float64Var(&o.maxSeconds, "max-seconds", 120, "no new file is begun after so long")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(o options) error {
	input := bufio.NewReader(os.Stdin)
	var sessions []*session
	if o.operation != "login" && o.operation != "idle" {
		var err error
		if sessions, err = logInAll(o); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	if _, err := input.ReadString('\n'); err != nil {
		return err
	}
	result := measure(o, &sessions)
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		return err
	}
	// The caller reads the server's usage before the sessions end.
	input.ReadString('\n')
	for _, s := range sessions {
		s.quit()
	}
	return nil
}

func logInAll(o options) ([]*session, error) {
	var sessions []*session
	for i := 0; i < o.sessions; i++ {
		s, err := logIn(o)
		if err != nil {
			return nil, fmt.Errorf("session %d: %w", i+1, err)
		}
		if err := s.enter(o.directory); err != nil {
			return nil, err
		}
		sessions = append(sessions, s)
	}
	return sessions, nil
}

func measure(o options, sessions *[]*session) figures {
	result := figures{Checksums: map[string]uint32{}, Errors: []string{}, LatenciesMs: []float64{}}
	var lock sync.Mutex
	next := make(chan int, o.files)
	for i := 0; i < o.files; i++ {
		next <- i
	}
	close(next)
	start := time.Now()
	var workers sync.WaitGroup
	for w := 0; w < o.sessions; w++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			worker := newWorker(o)
			for i := range next {
				if time.Since(start).Seconds() > o.maxSeconds {
					return
				}
				begun := time.Now()
				name := fmt.Sprintf("%s%06d.bin", o.prefix, i)
				var moved moved
				var opened *session
				var err error
				switch o.operation {
				case "login", "idle":
					opened, err = logIn(o)
				default:
					moved, err = worker.transfer((*sessions)[w], name, i)
				}
				ms := time.Since(begun).Seconds() * 1000
				if err == nil && o.operation == "login" {
					opened.quit()
				}
				lock.Lock()
				if err != nil {
					result.Errors = append(result.Errors, name+": "+err.Error())
				} else {
					result.Files++
					result.Bytes += moved.bytes
					result.LatenciesMs = append(result.LatenciesMs, ms)
					if o.operation == "stor" || o.operation == "retr" {
						result.Checksums[name] = moved.checksum
					}
					if moved.resumed {
						result.Resumed++
					} else if moved.secured {
						result.Full++
					}
					if o.operation == "idle" {
						*sessions = append(*sessions, opened)
					}
				}
				lock.Unlock()
				if err != nil {
					return
				}
			}
		}()
	}
	workers.Wait()
	result.Seconds = time.Since(start).Seconds()
	return result
}
