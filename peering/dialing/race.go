package dialing

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"banyan/peering"
)

const (
	// mostOfName is how many addresses of a name are tried in each family.
	mostOfName = 8
	// mostAttempts is how many attempts are under way at once.
	mostAttempts = 16
)

// lane is one address of a destination, or the proxy that leads to it.
type lane struct {
	address string
	proxy   *proxy

	asking  int              // look-ups that are under way
	found   []netip.AddrPort // not tried yet
	started int              // how many were tried
}

// race is one Dial. Its fields are of the goroutine of run; attempts and look-ups report over the channels.
type race struct {
	dialer   *Dialer
	lanes    []*lane
	failed   failures
	running  int
	outcomes chan outcome
	resolved chan resolution
}

type outcome struct {
	lane *lane
	got  peering.Dialled
	err  error
}

type resolution struct {
	lane  *lane
	found []netip.AddrPort
	err   error
}

// run tries until one attempt has succeeded, all have failed, or ctx ends. What it has started and does not need it gives up; that ends behind its back,
// soon, since all of it listens to ctx.
func (r *race) run(ctx context.Context) (peering.Dialled, error) {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	for _, l := range r.lanes {
		r.resolve(ctx, l)
	}
	timer := time.NewTimer(r.dialer.cfg.Stagger)
	defer timer.Stop()
	ready, patient := true, false // the next attempt may start; names that are not known yet are waited for no more
	for {
		for ready && r.running < mostAttempts {
			l := r.next(patient)
			if l == nil {
				break
			}
			r.start(ctx, l)
			ready = false
			timer.Reset(r.dialer.cfg.Stagger)
		}
		if r.over() {
			return peering.Dialled{}, r.failed.err()
		}
		select {
		case found := <-r.resolved:
			r.learn(found)
			ready = ready || r.running == 0
		case done := <-r.outcomes:
			r.running--
			if done.err == nil {
				return done.got, nil
			}
			r.failed.add(done.lane.address, done.err)
			ready = true
		case <-timer.C:
			ready, patient = true, true
			timer.Reset(r.dialer.cfg.Stagger)
		case <-ctx.Done():
			return peering.Dialled{}, r.late(ctx)
		}
	}
}

// next is the lane of the next attempt: each address has its turn before one has a second. The first one to be tried waits a moment for the names
// before it.
func (r *race) next(patient bool) *lane {
	var best *lane
	for _, l := range r.lanes {
		if l.asking > 0 && l.started == 0 && len(l.found) == 0 && !patient && best == nil {
			return nil
		}
		if len(l.found) > 0 && (best == nil || l.started < best.started) {
			best = l
		}
	}
	return best
}

func (r *race) start(ctx context.Context, l *lane) {
	to := l.found[0]
	l.found = l.found[1:]
	l.started++
	r.running++
	go func() {
		got, err := r.dialer.attempt(ctx, l, to)
		select {
		case r.outcomes <- outcome{l, got, err}:
		case <-ctx.Done(): // somebody else was first
			if err == nil {
				_ = got.Conn.Close()
			}
		}
	}()
}

// resolve finds the addresses of a lane: at once where it has one, else both families beside each other, so that a name server that answers for one
// of them only costs nothing.
func (r *race) resolve(ctx context.Context, l *lane) {
	target := l.address
	if l.proxy != nil {
		target = l.proxy.address
	}
	host, portText, err := net.SplitHostPort(target)
	port, badPort := strconv.ParseUint(portText, 10, 16)
	if err != nil || badPort != nil {
		r.failed.add(l.address, &net.AddrError{Err: "this is no HOST:PORT", Addr: target})
		return
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		l.found = []netip.AddrPort{netip.AddrPortFrom(ip, uint16(port))}
		return
	}
	l.asking = 2
	for _, family := range []string{"ip6", "ip4"} {
		go func() {
			ips, err := r.dialer.cfg.Resolve(ctx, family, host)
			found := resolution{lane: l, err: err}
			for _, ip := range ips[:min(len(ips), mostOfName)] {
				found.found = append(found.found, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
			}
			select {
			case r.resolved <- found:
			case <-ctx.Done():
			}
		}()
	}
}

// learn takes the answer for one family in. The two families take turns.
func (r *race) learn(found resolution) {
	l := found.lane
	l.asking--
	first, second := l.found, found.found
	if l.started > 0 {
		first, second = second, first
	}
	mixed := make([]netip.AddrPort, 0, len(first)+len(second))
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			mixed = append(mixed, first[i])
		}
		if i < len(second) {
			mixed = append(mixed, second[i])
		}
	}
	l.found = mixed
	// A name has often addresses of one family only: that the other one has none is no news.
	if l.asking == 0 && l.started == 0 && len(l.found) == 0 {
		if found.err == nil {
			found.err = errors.New("its name has no address")
		}
		r.failed.add(l.address, r.unresolved(l, found.err))
	}
}

func (r *race) unresolved(l *lane, err error) error {
	if l.proxy != nil {
		return proxyError(l.proxy, "cannot be reached: "+reason(err), "look whether its name is right")
	}
	return err
}

// over reports whether nothing is left to be tried or waited for.
func (r *race) over() bool {
	if r.running > 0 {
		return false
	}
	for _, l := range r.lanes {
		if l.asking > 0 || len(l.found) > 0 {
			return false
		}
	}
	return true
}

// late is the error where the time was over first: whoever has said nothing until then has not answered.
func (r *race) late(ctx context.Context) error {
	for _, l := range r.lanes {
		if _, said := r.failed.said[l.address]; said {
			continue
		}
		switch {
		case l.proxy != nil:
			r.failed.add(l.address, proxyError(l.proxy, "does not answer", "look whether it works and can reach "+l.address))
		default:
			r.failed.add(l.address, ctx.Err())
		}
	}
	return r.failed.err()
}
