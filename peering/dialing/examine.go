package dialing

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"banyan/peering"
)

var _ peering.Examiner = (*Dialer)(nil)

// Examine tries all addresses of a destination beside each other, each to its end, and tells what became of every step. Who called closes the connections.
func (d *Dialer) Examine(ctx context.Context, to peering.Destination) []peering.Reach {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Within)
	defer cancel()
	found := make([]peering.Reach, len(to.Addresses))
	var work sync.WaitGroup
	for i, address := range to.Addresses {
		work.Go(func() { found[i] = d.examine(ctx, address, to.Proxy) })
	}
	work.Wait()
	return found
}

func (d *Dialer) examine(ctx context.Context, address string, of peering.Proxy) peering.Reach {
	r := peering.Reach{Address: address}
	target := address
	p, err := d.proxyOf(address, of)
	if err != nil {
		r.Err = err
		return r
	}
	if p != nil {
		r.Proxy, target = p.String(), p.address
	}
	host, portText, err := net.SplitHostPort(target)
	port, badPort := strconv.ParseUint(portText, 10, 16)
	if err != nil || badPort != nil {
		r.Err = &net.AddrError{Err: "this is no HOST:PORT", Addr: target}
		return r
	}
	ips, err := d.resolveAll(ctx, host, &r)
	if err != nil {
		r.Unresolved = errors.New(reason(err))
		return r
	}
	d.connectAll(ctx, ips, uint16(port), &r)
	if r.Conn != nil && p != nil {
		if r.Conn, r.Err = d.through(ctx, r.Conn, p, address); r.Err != nil {
			r.Conn = nil
		}
	}
	return r
}

// resolveAll asks for both families of a name; one that has no answer is no fault where the other has one.
func (d *Dialer) resolveAll(ctx context.Context, host string, r *peering.Reach) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	r.Name = host
	var answers [2]struct {
		ips []netip.Addr
		err error
	}
	var work sync.WaitGroup
	for i, family := range []string{"ip6", "ip4"} {
		work.Go(func() { answers[i].ips, answers[i].err = d.cfg.Resolve(ctx, family, host) })
	}
	work.Wait()
	var ips []netip.Addr
	var failed error
	for _, a := range answers {
		var name *net.DNSError
		if failed == nil || a.err != nil && !(errors.As(a.err, &name) && name.IsNotFound) {
			failed = a.err // that the name server does not answer says more than that there is no such name
		}
		ips = append(ips, a.ips[:min(len(a.ips), mostOfName)]...)
	}
	for _, ip := range ips {
		r.Answers = append(r.Answers, ip.Unmap().String())
	}
	if len(ips) == 0 && failed == nil {
		failed = errors.New("its name has no address")
	}
	if len(ips) > 0 {
		failed = nil
	}
	return ips, failed
}

// connectAll connects to each address beside the others, and keeps the first connection in their order.
func (d *Dialer) connectAll(ctx context.Context, ips []netip.Addr, port uint16, r *peering.Reach) {
	conns := make([]net.Conn, len(ips))
	r.Tries = make([]peering.Try, len(ips))
	var work sync.WaitGroup
	for i, ip := range ips {
		work.Go(func() {
			to := netip.AddrPortFrom(ip.Unmap(), port)
			conn, err := d.cfg.Connect(ctx, to)
			r.Tries[i] = peering.Try{To: to.String()}
			if err != nil {
				r.Tries[i].Err, r.Tries[i].Silent = errors.New(reason(err)), isTimeout(err)
			} else {
				conns[i] = conn
			}
		})
	}
	work.Wait()
	first := slices.IndexFunc(conns, func(c net.Conn) bool { return c != nil })
	for i, conn := range conns {
		switch {
		case i == first:
			r.Conn = conn
		case conn != nil:
			_ = conn.Close()
		}
	}
}
