//go:build faults

package fault

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
)

// hearFolder is where what crosses connections is written to, in the clear. Without it nothing is.
var hearFolder = os.Getenv("BANYAN_FAULT_HEAR")

// heard counts connections, for the names of their files.
var heard atomic.Int64

// Overheard is a connection of which all that crosses it is written into two files, NUMBER-WHAT-PROCESS.in and .out: bytes as the two ends mean them,
// above TLS, and before them the certificates that the other end showed. They are written before they go out, so that nothing can be sent and not found.
func Overheard(conn net.Conn, what string) net.Conn {
	if hearFolder == "" {
		return conn
	}
	name := filepath.Join(hearFolder, fmt.Sprintf("%05d-%s-%d", heard.Add(1), what, os.Getpid()))
	o := &overheard{Conn: conn, in: hearInto(name + ".in"), out: hearInto(name + ".out")}
	if secured, is := conn.(*tls.Conn); is {
		shown := hearInto(name + ".shown")
		for _, certificate := range secured.ConnectionState().PeerCertificates {
			hear(shown, certificate.Raw)
		}
		_ = shown.Close()
	}
	return o
}

// overheard is such a connection.
type overheard struct {
	net.Conn
	in, out *os.File
}

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	hear(o.in, p[:n])
	return n, err
}

func (o *overheard) Write(p []byte) (int, error) {
	hear(o.out, p)
	return o.Conn.Write(p)
}

func hearInto(name string) *os.File {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		panic(fmt.Sprintf("BANYAN_FAULT_HEAR: %v", err))
	}
	return file
}

// hear stops the program where it cannot write: a trial that searches half of what crossed proves nothing.
func hear(file *os.File, p []byte) {
	if len(p) == 0 {
		return
	}
	if _, err := file.Write(p); err != nil {
		panic(fmt.Sprintf("BANYAN_FAULT_HEAR: %v", err))
	}
}
