//go:build !linux

package ping

import (
	"errors"
	"net/netip"
	"time"

	"banyan/model"
)

type socket struct {
	six bool
	id  uint16
}

type packet struct {
	from    netip.Addr
	data    []byte
	hops    int
	at      time.Time
	report  string
	speaker netip.Addr
}

var errFull = errors.New("the socket's buffer is full")

func openSocket(bool, uint16) (*socket, error) {
	return nil, model.Errorf(model.KindUnsupported, "pings are sent from Linux only")
}

func (s *socket) send(netip.Addr, []byte) error  { return errors.ErrUnsupported }
func (s *socket) receive([]byte) (packet, error) { return packet{}, errors.ErrUnsupported }
func (s *socket) close() error                   { return nil }
