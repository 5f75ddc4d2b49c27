package ping

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"banyan/model"
)

// buffer is what the kernel may hold for the socket in each direction. The bursts of thousands of targets have to fit into it, and
// so has what waits for the hardware addresses of hosts that are dead: with the usual 208 KiB, about 270 of them block all others.
const buffer = 8 << 20

// socket sends and receives the messages of one family. With the privilege for it it is a raw socket, which sees the messages of
// other programs too; without, one of the kernel's own for pings, which chooses the identifier.
type socket struct {
	six  bool
	raw  bool
	id   uint16
	file *os.File
	conn syscall.RawConn
}

// packet is a message that came in.
type packet struct {
	from    netip.Addr // who sent it; of a queued report, where the probe went
	data    []byte     // from the type of the message on
	hops    int        // TTL or hop limit; 0 where it was not told
	at      time.Time
	report  string // of a report that the kernel queued: what it means; data then begins with the probe
	speaker netip.Addr
}

// openSocket opens a raw socket, or else one for pings only.
func openSocket(six bool, id uint16) (*socket, error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if six {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	s := &socket{six: six, raw: true, id: id}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		s.raw = false
		fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	}
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil, errPrivilege
	case errors.Is(err, unix.EAFNOSUPPORT):
		return nil, model.Errorf(model.KindUnsupported, "this machine has switched off the family of the address")
	case err != nil:
		return nil, os.NewSyscallError("socket for pings", err)
	}
	if err = s.set(fd); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	s.file = os.NewFile(uintptr(fd), "icmp")
	if s.conn, err = s.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return s, nil
}

var errPrivilege = &model.Error{
	Kind: model.KindDenied, Detail: "this node may not send pings",
	Remedy: "give the program the capability: AmbientCapabilities=CAP_NET_RAW in its systemd unit, or setcap cap_net_raw+ep on its file; " +
		"or allow its group: sysctl net.ipv4.ping_group_range=\"0 2147483647\"",
}

func (s *socket) set(fd int) error {
	for _, o := range []struct{ force, plain int }{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.force, buffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.plain, buffer) // as much as the system allows
		}
	}
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	if s.six {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1))
	} else {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVTTL, 1))
	}
	switch {
	case s.raw && s.six:
		filter := unix.ICMPv6Filter{}
		for i := range filter.Data {
			filter.Data[i] = ^uint32(0)
		}
		for _, kind := range []int{echoReply6, unreachable6, packetTooBig6, timeExceeded6, badParameter6} {
			filter.Data[kind/32] &^= 1 << (kind % 32)
		}
		err = errors.Join(err, unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter))
	case s.raw:
		const icmpFilter = 1 // linux/icmp.h
		wanted := 1<<echoReply4 | 1<<unreachable4 | 1<<timeExceeded4 | 1<<badParameter4
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_RAW, icmpFilter, int(int32(^uint32(wanted)))))
	case s.six:
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1), unix.Bind(fd, &unix.SockaddrInet6{}), s.learn(fd))
	default:
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1), unix.Bind(fd, &unix.SockaddrInet4{}), s.learn(fd))
	}
	return err
}

// learn asks the kernel which identifier it chose.
func (s *socket) learn(fd int) error {
	name, err := unix.Getsockname(fd)
	switch at := name.(type) {
	case *unix.SockaddrInet4:
		s.id = uint16(at.Port)
	case *unix.SockaddrInet6:
		s.id = uint16(at.Port)
	}
	return err
}

// errFull says that the kernel takes no more just now.
var errFull = errors.New("the socket's buffer is full")

// send never waits: a send that waited would hold up the pings to all other targets.
func (s *socket) send(to netip.Addr, b []byte) error {
	var address unix.Sockaddr = &unix.SockaddrInet4{}
	if s.six {
		address = &unix.SockaddrInet6{Addr: to.As16(), ZoneId: zoneOf(to)}
	} else {
		address = &unix.SockaddrInet4{Addr: to.As4()}
	}
	var err error
	failed := s.conn.Control(func(fd uintptr) {
		err = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, address)
		if err != nil && !s.raw && !errors.Is(err, unix.EAGAIN) {
			// It may be the report about an earlier probe, which the kernel hands to whoever comes next.
			err = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, address)
		}
	})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOBUFS) {
		return errFull
	}
	return errors.Join(failed, err)
}

func zoneOf(a netip.Addr) uint32 {
	if a.Zone() == "" {
		return 0
	}
	if n, err := strconv.ParseUint(a.Zone(), 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(a.Zone()); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// receive waits for a message, until the socket is closed. The packet's data lies in space.
func (s *socket) receive(space []byte) (packet, error) {
	var p packet
	var err error
	extra := make([]byte, 512)
	failed := s.conn.Read(func(fd uintptr) bool {
		var n, extras int
		var from unix.Sockaddr
		n, extras, _, from, err = unix.Recvmsg(int(fd), space, extra, 0)
		queued := false
		if err != nil && !s.raw {
			if q, x, _, f, e := unix.Recvmsg(int(fd), space, extra, unix.MSG_ERRQUEUE); e == nil {
				n, extras, from, err, queued = q, x, f, nil, true
			}
		}
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		p = packet{from: addressOf(from), data: space[:max(n, 0)], at: time.Now()}
		if err == nil {
			p.read(extra[:extras], s.six)
		}
		if s.raw && !s.six {
			p.data = withoutHeader(p.data)
		}
		if queued && p.report == "" {
			p.data = nil
		}
		return true
	})
	if failed != nil {
		return p, os.ErrClosed // there is no other reason why nobody could wait any more
	}
	return p, err
}

func addressOf(from unix.Sockaddr) netip.Addr {
	switch at := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(at.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(at.Addr)
	}
	return netip.Addr{}
}

// read takes what the kernel tells beside the message.
func (p *packet) read(extra []byte, six bool) {
	all, err := unix.ParseSocketControlMessage(extra)
	if err != nil {
		return
	}
	for _, m := range all {
		level, kind := int(m.Header.Level), int(m.Header.Type)
		switch {
		case level == unix.SOL_SOCKET && kind == unix.SO_TIMESTAMPNS && len(m.Data) >= 16:
			stamp := time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
			p.at = earlier(stamp, p.at)
		case (level == unix.IPPROTO_IP && kind == unix.IP_TTL || level == unix.IPPROTO_IPV6 && kind == unix.IPV6_HOPLIMIT) && len(m.Data) >= 4:
			p.hops = int(binary.NativeEndian.Uint32(m.Data))
		case (level == unix.IPPROTO_IP && kind == unix.IP_RECVERR || level == unix.IPPROTO_IPV6 && kind == unix.IPV6_RECVERR) && len(m.Data) >= 16:
			// linux/errqueue.h: errno, origin, type, code, ..., then the address of who reported
			p.report = reasonOf(six, m.Data[5], m.Data[6])
			if six && len(m.Data) >= 16+24 {
				p.speaker = netip.AddrFrom16([16]byte(m.Data[24:40]))
			} else if !six && len(m.Data) >= 16+8 {
				p.speaker = netip.AddrFrom4([4]byte(m.Data[20:24]))
			}
		}
	}
}

// earlier is the kernel's stamp of when a message came, if it can be true: its clock is the one that people set, and the message
// was neither in the future nor long ago. The result has a monotonic reading, as far away from now's as the stamp is.
func earlier(stamp, now time.Time) time.Time {
	if before := now.Round(0).Sub(stamp); before >= 0 && before < time.Second {
		return now.Add(-before)
	}
	return now
}

func (s *socket) close() error { return s.file.Close() }
