package doorstep

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
)

// writes counts what is written to a connection, and fails once it is told to.
type writes struct {
	net.Conn
	count  atomic.Int64
	failed atomic.Bool
}

var errPulled = errors.New("the cable is out")

func (w *writes) Write(p []byte) (int, error) {
	w.count.Add(1)
	if w.failed.Load() {
		return len(p) / 2, errPulled
	}
	return w.Conn.Write(p)
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// What is longer than a record goes out at once, and arrives as it was; after half of it was written nothing is, as nobody could read it.
func TestRecordsGoOutTogether(t *testing.T) {
	here, there := net.Pipe()
	below := &writes{Conn: here}
	server := tls.Server(Gather(below), &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, MinVersion: tls.VersionTLS13})
	client := tls.Client(there, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}) //nolint:gosec // nobody is there but the test
	arrived := make(chan []byte)
	go func() {
		defer close(arrived)
		for _, n := range []int{1, 100_000, 5} {
			p := make([]byte, n)
			if _, err := io.ReadFull(client, p); err != nil {
				return
			}
			arrived <- p
		}
		_, _ = io.Copy(io.Discard, client)
	}()
	framed := NewFrames().Wrap(server, "someone", false, nil)
	for _, n := range []int{1, 100_000, 5} { // the first one with the handshake
		sent := make([]byte, n)
		_, _ = rand.Read(sent)
		before := below.count.Load()
		if _, err := framed.Write(sent); err != nil {
			t.Fatal(err)
		}
		if times := below.count.Load() - before; n > 1 && times != 1 {
			t.Errorf("%d bytes were written in %d parts", n, times)
		}
		if got := <-arrived; !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came as %d others", n, len(got))
		}
	}
	below.failed.Store(true)
	if n, err := framed.Write(make([]byte, 100_000)); n != 0 || !errors.Is(err, errPulled) {
		t.Errorf("wrote %d bytes to nobody: %v", n, err)
	}
	below.failed.Store(false)
	before := below.count.Load()
	if _, err := framed.Write([]byte("more")); err == nil || below.count.Load() != before {
		t.Errorf("wrote behind half a record: %v", err)
	}
	_, _ = there.Close(), here.Close()
	<-arrived
}
