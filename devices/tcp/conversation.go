package tcp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"banyan/devices"
	"banyan/model"
)

// conversation is one connection from its first packet to its end, and what was seen of it.
type conversation struct {
	options options

	open         bool
	server       string
	connectTime  time.Duration
	secured      bool
	tlsTime      time.Duration
	certificate  devices.Certificate
	ready        time.Time // connected, and secured where TLS is wanted
	received     bool
	responseTime time.Duration
	text         []byte // what came back
	judged       bool
	matches      bool
}

// run connects, secures, sends and reads, as far as each is asked for.
func (c *conversation) run(ctx context.Context) error {
	plain, err := c.connect(ctx)
	if c.options.wanted == wantedClosed {
		return c.closed(plain, err)
	}
	if err != nil {
		return err
	}
	defer plain.Close()
	stop := context.AfterFunc(ctx, func() { _ = plain.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn := plain
	if c.options.tls {
		if conn, err = c.secure(ctx, conn); err != nil {
			return err
		}
	}
	c.ready = time.Now()
	if c.options.send != "" {
		if _, err := io.WriteString(conn, c.options.send); err != nil {
			return devices.NetworkError("sending to "+c.options.endpoint.String(), err)
		}
	}
	if !c.options.listen {
		return nil
	}
	return c.listen(ctx, conn)
}

// closed judges a port that has to be closed. Silence is not good enough: it would be the same if the host were gone.
func (c *conversation) closed(conn net.Conn, err error) error {
	switch {
	case errors.Is(err, errRefused):
		return nil
	case err != nil:
		return err
	}
	conn.Close()
	return fmt.Errorf("%s takes connections and has to be closed", c.options.endpoint)
}

var errRefused = errors.New("refused: nothing listens there")

// connect measures the handshake alone, without resolving the name. Of several addresses the first that answers counts.
func (c *conversation) connect(ctx context.Context) (net.Conn, error) {
	var mu sync.Mutex
	began := map[string]time.Time{} // by address: two are tried at once where a host has both families
	last := ""
	dialer := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		mu.Lock()
		defer mu.Unlock()
		began[address], last = time.Now(), address
		return nil
	}}
	conn, err := dialer.DialContext(ctx, "tcp", c.options.endpoint.String())
	mu.Lock()
	defer mu.Unlock()
	c.server = last
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("connecting to %s: %w", c.options.endpoint, errRefused)
	case err != nil:
		return nil, devices.NetworkError("connecting to "+c.options.endpoint.String(), err)
	}
	c.open, c.server = true, conn.RemoteAddr().String()
	c.connectTime = time.Since(began[c.server])
	return conn, nil
}

func (c *conversation) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	began := time.Now()
	config := c.options.verification.Config(c.options.endpoint.Host, func(seen devices.Certificate) { c.certificate = seen })
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, devices.NetworkError("TLS with "+c.options.endpoint.String(), err)
	}
	c.secured, c.tlsTime = true, time.Since(began)
	return secure, nil
}

// idle is how long the other side has to be silent before what it said is looked at, unless it has said a lot. Looking at every
// byte of a server that sends single ones would let it choose how busy this node is.
const idle = 2 * time.Millisecond

// listen reads until what came is what is expected, the connection ends, or there is more than is read.
func (c *conversation) listen(ctx context.Context, conn net.Conn) error {
	chunk := make([]byte, 4<<10)
	looked, fresh := 0, false
	arrived := c.ready
	for {
		if err := c.patience(ctx, conn, fresh); err != nil {
			return err
		}
		n, err := conn.Read(chunk[:min(len(chunk), maxText-len(c.text))])
		if n > 0 {
			c.text, fresh, arrived = append(c.text, chunk[:n]...), true, time.Now()
		}
		paused := fresh && isTimeout(err) && ctx.Err() == nil
		if paused || err != nil || len(c.text) == maxText || len(c.text) > looked+looked/8+512 {
			looked, fresh = len(c.text), false
			if c.look(arrived) {
				return nil
			}
		}
		switch {
		case paused:
		case err != nil:
			return c.unmet(err)
		case len(c.text) == maxText:
			return fmt.Errorf("what is expected is not within the first %d bytes from %s", maxText, c.options.endpoint)
		}
	}
}

// patience sets how long the next read may take: the time of the poll, or a moment, if there is something to look at.
func (c *conversation) patience(ctx context.Context, conn net.Conn, fresh bool) error {
	end, _ := ctx.Deadline()
	if moment := time.Now().Add(idle); fresh && (end.IsZero() || moment.Before(end)) {
		end = moment
	}
	err := conn.SetReadDeadline(end)
	if ctx.Err() != nil { // in which case the deadline of its end may have been overwritten just now
		err = conn.SetReadDeadline(time.Unix(1, 0))
	}
	return err
}

// look reports whether what came is enough.
func (c *conversation) look(arrived time.Time) bool {
	if len(c.text) == 0 {
		return false
	}
	c.received, c.responseTime = true, arrived.Sub(c.ready)
	if !c.options.expects() {
		return true
	}
	c.judged, c.matches = true, c.options.met(c.text)
	return c.matches
}

// unmet says why the connection ended before what is expected was there.
func (c *conversation) unmet(err error) error {
	at := c.options.endpoint.String()
	switch {
	case isTimeout(err) && len(c.text) == 0:
		return model.Errorf(model.KindTimeout, "%s took the connection and says nothing", at)
	case isTimeout(err):
		return model.Errorf(model.KindTimeout, "%s sent %d bytes, and not what is expected", at, len(c.text))
	case errors.Is(err, io.EOF) && len(c.text) == 0:
		return fmt.Errorf("%s closed the connection without a word", at)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s sent %d bytes, not what is expected, and closed the connection", at, len(c.text))
	}
	return devices.NetworkError(fmt.Sprintf("reading from %s after %d bytes", at, len(c.text)), err)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// banner is the beginning of what came, as text: what cannot be printed is a dot.
func (c *conversation) banner() string {
	text := strings.TrimRight(strings.ToValidUTF8(string(c.text[:min(len(c.text), maxBanner)]), "."), "\r\n")
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			if r == '\r' {
				return -1
			}
			return '.'
		}
		return r
	}, text)
}

func contains(text []byte, piece string) bool { return bytes.Contains(text, []byte(piece)) }
