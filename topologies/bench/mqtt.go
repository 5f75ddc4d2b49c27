package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// A client of MQTT 3.1.1 that publishes and subscribes with QoS 0, and no more: the broker is measured, so its client is as light as one can be.

// mqttTopics is how many topics the publisher goes around.
const mqttTopics = 1000

// The first byte of packets.
const (
	mqttConnect    = 0x10
	mqttConnected  = 0x20
	mqttPublish    = 0x30
	mqttSubscribe  = 0x82
	mqttSubscribed = 0x90
)

// mqttConn is a connection to a broker.
type mqttConn struct {
	net.Conn
	from *bufio.Reader
	to   *bufio.Writer
}

func dialMQTT(address, client string) (*mqttConn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &mqttConn{conn, bufio.NewReaderSize(conn, 64<<10), bufio.NewWriterSize(conn, 64<<10)}
	body := append(mqttText("MQTT"), 4, 2, 0, 0) // version 3.1.1, a clean session, no keep-alive
	if err := c.ask(mqttConnect, append(body, mqttText(client)...), mqttConnected); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func mqttText(text string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...)
}

// ask sends a packet and waits for the answer, whose last byte is 0 for yes.
func (c *mqttConn) ask(kind byte, body []byte, answer byte) error {
	if err := c.send(kind, body); err != nil {
		return err
	}
	if err := c.to.Flush(); err != nil {
		return err
	}
	got, body, err := c.next(nil)
	if err == nil && (got != answer || len(body) == 0 || body[len(body)-1] != 0) {
		err = fmt.Errorf("the broker answers %x %x", got, body)
	}
	return err
}

func (c *mqttConn) send(kind byte, body []byte) error {
	head := [5]byte{kind}
	_, err := c.to.Write(binary.AppendUvarint(head[:1], uint64(len(body))))
	if err == nil {
		_, err = c.to.Write(body)
	}
	return err
}

// next is the next packet, whose body lies in room where it fits.
func (c *mqttConn) next(room []byte) (kind byte, body []byte, err error) {
	if kind, err = c.from.ReadByte(); err != nil {
		return 0, nil, err
	}
	size, err := binary.ReadUvarint(c.from)
	if err != nil || size > 1<<20 {
		return 0, nil, errors.Join(err, errors.New("the packet is damaged"))
	}
	if uint64(cap(room)) < size {
		room = make([]byte, size)
	}
	_, err = io.ReadFull(c.from, room[:size])
	return kind, room[:size], err
}

// runMQTTPublisher publishes for a time: number and time of sending, 16 bytes, at a rate or as fast as it can.
func runMQTTPublisher(o *options) error {
	conn, err := dialMQTT(o.address, "publisher")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	packets := make([][]byte, mqttTopics)
	for i := range packets {
		packets[i] = append(mqttText(fmt.Sprintf("bench/v%d", i)), make([]byte, 16)...)
	}
	sent, began := uint64(0), time.Now()
	pace := newPace(o.rate, began)
	for time.Since(began) < o.lasts {
		for range pace.due(time.Now()) {
			sent++
			packet := packets[sent%mqttTopics]
			payload := packet[len(packet)-16:]
			binary.LittleEndian.PutUint64(payload, sent)
			binary.LittleEndian.PutUint64(payload[8:], uint64(time.Now().UnixNano()))
			if err := conn.send(mqttPublish, packet); err != nil {
				return err
			}
		}
		if o.rate > 0 && o.rate <= 10_000 {
			if err := conn.to.Flush(); err != nil {
				return err
			}
		}
	}
	if err := conn.to.Flush(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(published{Sent: sent, Seconds: time.Since(began).Seconds()})
}

// runMQTTSubscriber counts what arrives until nothing does any more, and how long each took.
func runMQTTSubscriber(o *options) error {
	conn, err := dialMQTT(o.address, "subscriber")
	if err != nil {
		return err
	}
	var over atomic.Bool
	defer func() {
		over.Store(true)
		_ = conn.Close()
	}()
	if err := conn.ask(mqttSubscribe, append(append([]byte{0, 1}, mqttText("bench/#")...), 0), mqttSubscribed); err != nil {
		return err
	}
	fmt.Println("ready")
	seen := newTally(o.latency)
	go func() {
		room := make([]byte, 1<<10)
		for {
			kind, body, err := conn.next(room)
			if err != nil && over.Load() {
				return
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "subscriber:", err)
				os.Exit(1)
			}
			if kind == mqttPublish && len(body) > 16 {
				seen.add(1, int64(binary.LittleEndian.Uint64(body[len(body)-8:])))
			}
		}
	}()
	return seen.report(context.Background(), o.lasts)
}
