package modbus

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"banyan/model"
)

// client is the connection to one device, opened by the first request and again after it broke. One request is under way at a time, as many
// devices take no more.
type client struct {
	address string
	unit    byte
	dialer  net.Dialer

	room chan struct{} // capacity 1: held by who speaks

	mu     sync.Mutex // guards conn and closed
	conn   net.Conn
	closed bool

	// Of who speaks.
	reader      *bufio.Reader
	transaction uint16
	buffer      [headerBytes + mostPDU]byte
	sent        []byte
}

func newClient(address string, unit byte) *client {
	return &client{address: address, unit: unit, room: make(chan struct{}, 1)}
}

// area is one of the four kinds of data of a device.
type area struct {
	name     string
	function byte
	bits     bool
	writable bool
}

var areas = map[string]area{
	"coil":     {"coil", readCoils, true, true},
	"discrete": {"discrete", readDiscreteInputs, true, false},
	"holding":  {"holding", readHoldingRegisters, false, true},
	"input":    {"input", readInputRegisters, false, false},
}

// read reads count registers or bits of an area. The data is valid until the next request.
func (c *client) read(ctx context.Context, a area, first, count uint16) ([]byte, error) {
	pdu := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{a.function}, first), count)
	answer, err := c.do(ctx, pdu)
	if err != nil {
		return nil, err
	}
	bytes := 2 * int(count)
	if a.bits {
		bytes = (int(count) + 7) / 8
	}
	return c.checked(data(answer, bytes))
}

// writeCoil switches one coil.
func (c *client) writeCoil(ctx context.Context, at uint16, on bool) error {
	var state uint16
	if on {
		state = 0xff00
	}
	return c.writeEcho(ctx, binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{writeSingleCoil}, at), state), 4)
}

// writeRegisters sets registers that follow each other: one by its own function, since some devices know no other.
func (c *client) writeRegisters(ctx context.Context, first uint16, registers []byte) error {
	if len(registers) == 2 {
		return c.writeEcho(ctx, append(binary.BigEndian.AppendUint16([]byte{writeSingleRegister}, first), registers...), 4)
	}
	pdu := binary.BigEndian.AppendUint16([]byte{writeMultipleRegisters}, first)
	pdu = binary.BigEndian.AppendUint16(pdu, uint16(len(registers)/2))
	pdu = append(append(pdu, byte(len(registers))), registers...)
	return c.writeEcho(ctx, pdu, 4)
}

// writeEcho sends a writing request, whose answer repeats its first bytes.
func (c *client) writeEcho(ctx context.Context, pdu []byte, repeated int) error {
	answer, err := c.do(ctx, pdu)
	if err != nil {
		return err
	}
	if len(answer) != repeated || string(answer) != string(pdu[1:1+repeated]) {
		_, err = c.checked(nil, malformed("the answer does not repeat what was written"))
		return err
	}
	return nil
}

// checked gives the connection up after an answer that makes no sense.
func (c *client) checked(answer []byte, err error) ([]byte, error) {
	if err != nil {
		c.drop()
	}
	return answer, err
}

// do sends a request and waits for its answer. What was sent stays valid until the next one.
func (c *client) do(ctx context.Context, pdu []byte) ([]byte, error) {
	select {
	case c.room <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.room }()
	conn, fresh, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := c.exchange(ctx, conn, pdu)
	if err != nil && !fresh && broken(err) && ctx.Err() == nil && !isWrite(pdu[0]) {
		// An idle connection that the device has closed meanwhile is found out only now. A write is not sent twice.
		c.drop()
		if conn, _, err = c.connect(ctx); err != nil {
			return nil, err
		}
		answer, err = c.exchange(ctx, conn, pdu)
	}
	if err == nil {
		return c.answered(pdu, answer)
	}
	c.drop()
	return nil, c.explain(ctx, err)
}

func isWrite(function byte) bool {
	return function == writeSingleCoil || function == writeSingleRegister || function == writeMultipleRegisters
}

func (c *client) answered(pdu, answer []byte) ([]byte, error) {
	answer, err := payload(pdu, answer)
	var refused *Exception
	if err != nil && !errors.As(err, &refused) {
		c.drop()
	}
	return answer, err
}

// broken reports whether a connection is gone, rather than slow.
func broken(err error) bool {
	var wrong *malformedError
	return !errors.Is(err, os.ErrDeadlineExceeded) && !errors.As(err, &wrong)
}

// explain sorts an error of the connection: the device did not answer, unless what it answered made no sense.
func (c *client) explain(ctx context.Context, err error) error {
	var wrong *malformedError
	switch {
	case errors.As(err, &wrong):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return model.Errorf(model.KindTimeout, "no answer from %s", c.address)
	}
	return model.Errorf(model.KindUnavailable, "the connection to %s broke: %w", c.address, err)
}

// connect is the open connection, or a fresh one.
func (c *client) connect(ctx context.Context) (conn net.Conn, fresh bool, err error) {
	c.mu.Lock()
	conn, closed := c.conn, c.closed
	c.mu.Unlock()
	if conn != nil || closed {
		if closed {
			err = net.ErrClosed
		}
		return conn, false, err
	}
	conn, err = c.dialer.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return nil, true, model.Errorf(model.KindUnavailable, "no connection: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return nil, true, net.ErrClosed
	}
	c.conn, c.reader = conn, bufio.NewReaderSize(conn, len(c.buffer))
	return conn, true, nil
}

// patience is how long an answer is waited for on behalf of somebody who sets no limit: the connection is needed by all others.
const patience = 30 * time.Second

// exchange sends and receives on one connection. Answers to requests that were given up before are passed over.
func (c *client) exchange(ctx context.Context, conn net.Conn, pdu []byte) ([]byte, error) {
	c.transaction++
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-ended // else it could end the request after this one
		}
	}()
	deadline, set := ctx.Deadline()
	if !set {
		deadline = time.Now().Add(patience)
	}
	if err := conn.SetDeadline(deadline); err != nil { // always: the one of the request before is still set
		return nil, err
	}
	c.sent = appendRequest(c.sent[:0], c.transaction, c.unit, pdu)
	if _, err := conn.Write(c.sent); err != nil {
		return nil, err
	}
	const mostForeign = 16
	for range mostForeign {
		transaction, unit, answer, err := readResponse(c.reader, &c.buffer)
		if err != nil {
			return nil, err
		}
		if transaction == c.transaction {
			if unit != c.unit {
				return nil, malformed("unit %d was asked and %d answered", c.unit, unit)
			}
			return answer, nil
		}
	}
	return nil, malformed("%d answers to other requests came", mostForeign)
}

// drop gives the connection up; the next request opens another.
func (c *client) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close() // it is of no more use
		c.conn = nil
	}
}

// close ends the client for good.
func (c *client) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.drop()
}
