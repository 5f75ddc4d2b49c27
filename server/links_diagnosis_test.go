package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"banyan/model"
	"banyan/peering/dialing"

	"github.com/hashicorp/go-hclog"
)

// explained is what explain says of a link.
type explained struct {
	ok      bool
	verdict string
	state   string
	checks  []string // CHECK STATE DETAIL REMEDY
}

func (n *linkedNode) explain(link string) explained {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	response, err := n.Router().Execute(ctx, administrator, Request{Op: OpCall, Path: model.MustPath("/links/" + link), Name: functionExplainLink})
	if err != nil {
		n.t.Fatal(err)
	}
	results := map[string]model.Value{}
	for _, r := range response.Results {
		results[r.Name] = r.Value
	}
	e := explained{ok: results["ok"].Bool(), verdict: results["verdict"].Text(), state: results["state"].Text()}
	for _, row := range results["checks"].Table().Rows {
		e.checks = append(e.checks, fmt.Sprintf("%-8s %-24s %s | %s", row[1].Text(), row[0].Text(), row[2].Text(), row[3].Text()))
	}
	return e
}

// explains waits until the verdict has all the words, and fails with all that was found where it never has.
func (n *linkedNode) explains(link string, ok bool, words ...string) {
	n.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		e := n.explain(link)
		right := e.ok == ok
		for _, w := range words {
			right = right && strings.Contains(e.verdict, w)
		}
		if right {
			n.t.Logf("%s", e.verdict)
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("the verdict is %v: %s\nand lacks something of %q; all that was found:\n%s", e.ok, e.verdict, words, strings.Join(e.checks, "\n"))
		}
		<-time.After(50 * time.Millisecond)
	}
}

// pair is a provider that dials its consumer, as most are. world changes how the provider dials.
type pair struct {
	t          *testing.T
	hq, berlin *linkedNode
	host       string // of hq's listener
	port       string
}

// names answers for a few names, in place of a name server.
func names(ctx context.Context, family, host string) ([]netip.Addr, error) {
	switch {
	case host == "hq.example" && family == "ip4":
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	case host == "slow.example":
		<-ctx.Done()
		return nil, &net.DNSError{Name: host, IsTimeout: true, Err: "timeout"}
	}
	return nil, &net.DNSError{Name: host, IsNotFound: true, Err: "no such host"}
}

func makePair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, hq: makeNode(t, "hq"), berlin: makeUnder(t, "berlin", Config{Dialling: dialing.Config{Resolve: names, Within: 2 * time.Second}})}
	linkUp(p.berlin, p.hq, "berlin", "/sites/berlin", "view")
	p.berlin.waits("/links/hq:state", is("up good"))
	p.host, p.port, _ = net.SplitHostPort(p.hq.LinksAddress())
	return p
}

// makeUnder makes a node that differs from others.
func makeUnder(t *testing.T, name string, cfg Config) *linkedNode {
	t.Helper()
	n := &linkedNode{t: t, dir: t.TempDir()}
	if _, err := Init(context.Background(), n.dir, name, nil); err != nil {
		t.Fatal(err)
	}
	n.startUnder(name, cfg)
	return n
}

func (n *linkedNode) startUnder(name string, cfg Config) {
	n.t.Helper()
	cfg.File = File{Name: name, Data: n.dir}
	cfg.Listeners.API, cfg.Listeners.Links = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Beat, cfg.Logger = 300*time.Millisecond, hclog.New(&hclog.LoggerOptions{Output: &n.log})
	made, err := New(context.Background(), cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.Node = made
	n.run(name)
}

func (n *linkedNode) remove(path string) {
	n.t.Helper()
	if _, err := n.execute(Request{Op: OpRemove, Path: model.MustPath(path)}); err != nil {
		n.t.Fatal(err)
	}
}

// dial has the provider dial other addresses.
func (p *pair) dial(addresses string) {
	p.berlin.set("/links/hq", settingAddresses, model.String(addresses))
}

// listener is a port of this machine at which somebody answers.
func listener(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				answer(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// deaf is a port at which nobody takes a connection: its queue is full, and the system drops what comes, like a firewall does.
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 3 {
		if conn, err := net.DialTimeout("tcp", address, 300*time.Millisecond); err == nil {
			t.Cleanup(func() { _ = conn.Close() })
		}
	}
	return address
}

// closedPort is one at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestExplainLink plants a problem each, and wants it named with its remedy.
func TestExplainLink(t *testing.T) {
	for name, plant := range map[string]func(p *pair){
		"nothing is wrong": func(p *pair) {
			p.berlin.explains("hq", true, "nothing is wrong")
			p.hq.explains("berlin", true, "nothing is wrong")
		},
		"a name that is wrong": func(p *pair) {
			p.dial("hq.exmaple:" + p.port)
			p.berlin.explains("hq", false, "Name hq.exmaple: there is no name hq.exmaple", "correct the name, with `banyan set /links/hq:addresses`")
		},
		"a name server that does not answer": func(p *pair) {
			p.dial("slow.example:" + p.port)
			p.berlin.explains("hq", false, "slow.example cannot be resolved: the name server does not answer", "/etc/resolv.conf")
		},
		"a port that is closed": func(p *pair) {
			address := closedPort(p.t)
			p.dial(address)
			p.berlin.explains("hq", false, "TCP "+address, "nothing listens at the port", "look whether hq runs")
		},
		"a port that a firewall drops": func(p *pair) {
			address := deaf(p.t)
			p.dial(address)
			p.berlin.explains("hq", false, "TCP "+address+": nobody answers", "firewall", "let through to hq")
		},
		"a proxy that is down": func(p *pair) {
			address := closedPort(p.t)
			p.berlin.set("/links/hq", settingProxy, model.String("http://"+address))
			p.berlin.explains("hq", false, "Proxy http://"+address+": it cannot be reached", "look whether the proxy runs")
		},
		"a proxy that wants a password": func(p *pair) {
			proxy := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Proxy-Authenticate", "Basic realm=x")
				w.WriteHeader(http.StatusProxyAuthRequired)
			})}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				p.t.Fatal(err)
			}
			go func() { _ = proxy.Serve(l) }()
			p.t.Cleanup(func() { _ = proxy.Close() })
			p.berlin.set("/links/hq", settingProxy, model.String("http://"+l.Addr().String()))
			p.berlin.explains("hq", false, "asks for a user and a password", "set proxy_user and proxy_password")
		},
		"something else listens": func(p *pair) {
			address := listener(p.t, func(conn net.Conn) {
				_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
				time.Sleep(100 * time.Millisecond)
			})
			p.dial(address)
			p.berlin.explains("hq", false, "TLS "+address+": what answers at this address is plaintext", `"HTTP/1.1 400`, "set the address of the listener for links of hq")
		},
		"the port for people": func(p *pair) {
			p.dial(p.hq.APIAddress())
			p.berlin.explains("hq", false, "no node's listener for links", "8443 is for people")
		},
		"another node listens": func(p *pair) {
			p.dial(makeNode(p.t, "other").LinksAddress())
			p.berlin.explains("hq", false, "another node than hq answers", "look whether the address is hq's", "banyan invite --again")
		},
		"somebody takes the connection and is silent": func(p *pair) {
			address := listener(p.t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
			p.dial(address)
			p.berlin.explains("hq", false, "somebody takes the connection and says nothing", "look what listens there")
		},
		"a clock that is far off": func(p *pair) {
			p.berlin.stop()
			p.berlin.startUnder("berlin", Config{Dialling: dialing.Config{Resolve: names}, Now: func() time.Time { return time.Now().Add(49 * time.Hour) }})
			p.berlin.explains("hq", false, "the clocks of this node and hq are apart by more than 2", "set the clock that is wrong", "NTP")
			// hq cannot know: who does not trust its certificate does not say who it is.
			p.hq.explains("berlin", false, "berlin is the one that dials", "run `banyan explain link` at berlin")
		},
		"a root that has ended": func(p *pair) {
			other := makeNode(p.t, "other")
			<-time.After(2100 * time.Millisecond) // certificates count whole seconds; the second root is to hold longer
			late := makeUnder(p.t, "late", Config{})
			linkUp(late, other, "late", "/sites/late", "view")
			late.waits("/links/other:state", is("up good"))
			ended := other.authority.Root().NotAfter
			late.stop()
			late.startUnder("late", Config{Now: func() time.Time { return ended.Add(time.Second) }})
			late.explains("other", false, "the root of other ended at "+instant(ended), "banyan identity rotate", "banyan invite --again")
		},
		"switched off here": func(p *pair) {
			p.berlin.set("/links/hq", settingEnabled, model.Bool(false))
			p.berlin.explains("hq", false, "switched off at this node", "banyan set /links/hq:enabled true")
		},
		"switched off there": func(p *pair) {
			p.hq.set("/links/berlin", settingEnabled, model.Bool(false))
			p.berlin.explains("hq", false, "Refusal: ", "switched off", "ask the other node's administrator to enable the link")
		},
		"revoked there": func(p *pair) {
			p.hq.call("/links/berlin", functionRevoke)
			p.berlin.explains("hq", false, "Refusal: ", "revoked", "ask the other node's administrator for a new invitation")
			p.hq.explains("berlin", false, "revoked at this node", "invite berlin again")
		},
		"the link was removed there": func(p *pair) {
			p.hq.remove("/mounts/berlin")
			p.hq.remove("/links/berlin")
			p.berlin.explains("hq", false, "Refusal: ", "refused this connection", "invitation")
		},
		"a peer that is not heard for a while": func(p *pair) {
			p.berlin.explains("hq", true, "nothing is wrong")
			p.hq.set("/mounts/berlin", settingMemory, model.Int64(1<<20))
			if _, err := p.berlin.execute(Request{Op: OpCreate, Path: model.MustPath("/devices/many"), Kind: "simulator", Arguments: []model.Argument{
				{Name: "points", Value: model.Int64(50_000)}, {Name: "poll_interval", Value: model.Duration(time.Hour)},
			}}); err != nil {
				p.t.Fatal(err)
			}
			p.hq.waits("/links/berlin:last_problem", func(v string) bool { return strings.Contains(v, "more than this mount may take") })
			for range 20 { // between two tries as well, when it is connecting
				if e := p.berlin.explain("hq"); strings.Contains(e.verdict, "nothing was found") {
					p.t.Fatalf("while it is %s: %s\n%s", e.state, e.verdict, strings.Join(e.checks, "\n"))
				}
				<-time.After(50 * time.Millisecond)
			}
		},
		"an invitation that nobody took": func(p *pair) {
			p.hq.call("/links", functionInvite, textArgument("name", "late"), textArgument("role", "consumer"), textArgument("mount", "/late"))
			p.hq.explains("late", false, "nobody has joined yet", "run `banyan join`")
		},
		"a peer that does not come": func(p *pair) {
			p.berlin.stop()
			p.hq.explains("berlin", false, "berlin is the one that dials, and nothing has come from it", "run `banyan explain link` at berlin", "let it through to TCP port "+p.port)
		},
		"an export that was removed": func(p *pair) {
			p.berlin.remove("/exports/hq")
			p.hq.explains("berlin", false, "berlin shows nothing over this link", "ask whoever administers berlin for an export")
			p.berlin.explains("hq", false, "it has no export", "add the link to an export")
		},
		"an export of another name": func(p *pair) {
			p.hq.set("/mounts/berlin", settingExport, model.String("other"))
			p.hq.explains("berlin", false, "berlin shows nothing called other over this link; it shows hq", "set export of the mount to one of those")
		},
		"a mount that was removed": func(p *pair) {
			p.hq.remove("/mounts/berlin")
			p.hq.explains("berlin", false, "nothing is mounted over this link", "banyan create /mounts/NAME mount link=berlin")
		},
		"a loop": func(p *pair) {
			linkUp(p.hq, p.berlin, "back", "/back", "view")
			p.hq.explains("berlin", false, "loop: hq > berlin > hq", "leave that out of one of the exports")
		},
		"an outage that is rehearsed here": func(p *pair) {
			p.berlin.call("/links/hq", functionRehearse, textArgument("what", "block=out"), model.Argument{Name: "for", Value: model.Duration(time.Hour)})
			p.berlin.explains("hq", false, "an outage is rehearsed here: block=out, by admin", "banyan rehearse hq --end")
		},
		"an outage that is rehearsed there": func(p *pair) {
			p.berlin.call("/links/hq", functionRehearse, textArgument("what", "delay=5ms"), model.Argument{Name: "for", Value: model.Duration(time.Hour)})
			p.hq.explains("berlin", false, "an outage is rehearsed at berlin: delay=5ms")
			p.berlin.call("/links/hq", functionEndRehearsal)
			p.hq.call("/links/berlin", functionRehearse, textArgument("what", "delay=5ms"), model.Argument{Name: "for", Value: model.Duration(time.Hour)})
			p.berlin.explains("hq", false, "an outage is rehearsed at hq: delay=5ms")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plant(makePair(t))
		})
	}
}
