package trials

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"banyan/proto/apiv1"
)

// thin is a site with 1,000 points that move each second, below two tiers of which nobody looks at them. What crosses the wire between the site and
// the tier above it is counted.
//
//	hq --- north --- berlin
type thin struct {
	*trial
	lab *lab
}

const (
	thinAtNorth = "/sites/berlin/devices/sim/group-000:p000"
	thinAtHQ    = "/regions/north" + thinAtNorth
)

func startThin(t *testing.T) *thin {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("network namespaces need root")
	}
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	needs(t, map[string]string{"ip": "iproute2", "nft": "nftables"})
	nodes := []string{"hq", "north", "berlin"}
	n := &thin{lab: newLab(t, nodes...)}
	text := "network: thin\nnodes:\n"
	for i, node := range nodes {
		text += fmt.Sprintf("  %s:\n    listeners: {links: \"%[2]s.%[3]d:7443\", api: \"%[2]s.%[3]d:8443\"}\n", node, n.lab.subnet, 10+i)
	}
	text += `    devices:
      /devices/sim: {kind: simulator, points: 1000, poll_interval: 1s}
links:
  - {provider: berlin, consumer: north, export: {paths: ["/devices/**"]}, mount: /sites/berlin}
  - {provider: north, consumer: hq, export: {paths: ["/sites/**"]}, mount: /regions/north, interval: never}
`
	n.lab.rules("berlin", fmt.Sprintf(`table inet count {
		counter up {}
		counter down {}
		chain out { type filter hook output priority 0; ip daddr %[1]s.11 counter name up; }
		chain in { type filter hook input priority 0; ip saddr %[1]s.11 counter name down; }
	}`, n.lab.subnet))
	n.trial = start(t, text, n.lab.command)
	return n
}

// set sets settings of mounts and links.
func (n *thin) set(node, address, text string) {
	n.Helper()
	if _, err := n.at(node).Tree.Set(n.Context(), &apiv1.SetRequest{Address: address, Text: text}); err != nil {
		n.Fatalf("set %s at %s: %v", address, node, err)
	}
}

// beat agrees how far apart heartbeats are.
func (n *thin) beat(every time.Duration) {
	n.Helper()
	n.set("north", "/links/berlin:beat", every.String())
	n.set("berlin", "/links/north:beat", every.String())
	took := n.until("both ends have the beat", 20*time.Second, func() bool {
		return n.says("north", "/links/berlin:detection") == (2*every).String() && n.says("berlin", "/links/north:detection") == (2*every).String()
	})
	n.Logf("a beat of %s is agreed after %s", every, took.Round(time.Millisecond))
}

func (n *thin) says(node, address string) string {
	return n.get(node, address).GetValue().GetStringValue()
}

// crosses is how many bytes cross the wire in a second, with the headers of IP and TCP, counted for some time.
func (n *thin) crosses(during time.Duration) float64 {
	n.Helper()
	before, began := n.lab.counted(), time.Now()
	<-time.After(during)
	return float64(n.lab.counted()-before) / time.Since(began).Seconds()
}

// unwanted waits until north wants no sample of the site.
func (n *thin) unwanted(within time.Duration) time.Duration {
	n.Helper()
	return n.until("north wants no sample", within, func() bool { return n.says("north", "/mounts/berlin:wanted") == "never" })
}

// rests waits until what was on its way when it was not wanted any more has arrived.
func (n *thin) rests() {
	n.Helper()
	last, since := "", time.Now()
	n.until("the point rests at north", 10*time.Second, func() bool {
		if now := n.get("north", thinAtNorth).GetTime(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 1200*time.Millisecond
	})
}

// own is what the link itself has counted, without these headers.
func (n *thin) own() int {
	n.Helper()
	in, problem := strconv.Atoi(n.says("north", "/links/berlin:bytes_in"))
	out, other := strconv.Atoi(n.says("north", "/links/berlin:bytes_out"))
	if problem != nil || other != nil {
		n.Fatalf("north's link says neither what came nor what went: %v, %v", problem, other)
	}
	return in + out
}

// A site on a link that is paid for by the byte, of whose 1,000 points each moves once a second. While nobody looks at least a hundred times less
// crosses than live, by day; who looks at the top sees the points move, only as long as they look; and a link that is cut is shown within two beats.
//
// Days are projected. At an interval of 10m that is what is told once, 144 times, and what crosses anyway. Everyday that is counted in two parts: what
// heartbeats cost while they are 2 s apart, and the rest in a stretch at a minute, which is longer than the 15 s after which TCP asks whether the other end
// is there; before a release it is counted over minutes as it is set.
func TestThinLink(t *testing.T) {
	n := startThin(t)
	n.until("everything is good", 30*time.Second, func() bool { return quality(n.get("hq", thinAtHQ)) == "good" })
	live := n.crosses(secondsOf(3, 60))
	n.compareCounts()

	n.set("north", "/mounts/berlin:interval", "never")
	n.unwanted(5 * time.Second)
	n.rests()
	beating := n.crosses(secondsOf(4, 30))
	n.beat(time.Minute)
	n.looked()
	before := n.get("north", thinAtNorth).GetTime()
	never := n.crosses(secondsOf(16, 180))
	if after := n.get("north", thinAtNorth).GetTime(); after != before {
		t.Errorf("nobody looks any more, and the point moved from %s to %s", before, after)
	}
	if !full() {
		never += beating * 2 / 60 // a stretch as short may have no heartbeat in it
	}

	told := n.lab.counted()
	n.set("north", "/mounts/berlin:interval", "10m")
	n.until("what was held back is told", 5*time.Second, func() bool { return n.get("north", thinAtNorth).GetTime() != before })
	<-time.After(2 * time.Second)
	once := n.lab.counted() - told
	slow := never + float64(once)/600

	const day = 24 * 60 * 60
	t.Logf("bytes per day, projected: live with a beat of 2s %.0f; never with a beat of 2s %.0f", live*day, beating*day)
	t.Logf("with a beat of 1m: every 10m %.0f, %.0f times less than live (telling all once is %d); never %.0f, %.0f times less", slow*day, live/slow, once, never*day, live/never)
	if live < 100*never {
		t.Errorf("with nobody looking %.0f bytes cross in a second, live are %.0f", never, live)
	}
	if live < 50*slow {
		t.Errorf("every 10m is %.0f bytes in a second, live are %.0f", slow, live)
	}
	n.cut()
}

// secondsOf is how long something is counted: everyday, and before a release.
func secondsOf(few, all int) time.Duration { return time.Duration(times(few, all)) * time.Second }

// compareCounts compares what the link says it carries with what crossed. It says so with each heartbeat.
func (n *thin) compareCounts() {
	n.Helper()
	own, wire := n.own(), n.lab.counted()
	n.until("the link has counted on", 10*time.Second, func() bool {
		own, wire = n.own(), n.lab.counted()
		return own > wire/2
	})
	if own > wire {
		n.Errorf("the link says that it carried %d bytes, %d have crossed", own, wire)
	}
	n.Logf("since the start the link counted %d bytes, the wire with its headers %d", own, wire)
}

// looked looks at a point at the top, and goes.
func (n *thin) looked() {
	n.Helper()
	ctx, cancel := context.WithTimeout(n.Context(), 20*time.Second)
	defer cancel()
	stream, err := n.at("hq").Tree.Watch(ctx, &apiv1.WatchRequest{Addresses: []string{thinAtHQ}})
	if err != nil {
		n.Fatal(err)
	}
	began, last, seen, first := time.Now(), time.Now(), 0, time.Duration(0)
	for seen < 3 && stream.Receive() {
		for _, r := range stream.Msg().GetReadings() {
			at, err := time.Parse(time.RFC3339Nano, r.GetTime())
			if err != nil || !at.After(last) {
				continue // what was known before
			}
			if last, seen = at, seen+1; first == 0 {
				first = time.Since(began)
			}
		}
	}
	if _ = stream.Close(); seen < 3 {
		n.Fatalf("who looks at the top sees the point move %d times: %v", seen, stream.Err())
	}
	n.Logf("looked at from the top it is live after %s, and moves %d times in %s", first.Round(time.Millisecond), seen, time.Since(began).Round(time.Millisecond))
	if took := time.Since(began); first > 3*time.Second || took > 8*time.Second {
		n.Errorf("looked at from the top it is live after %s, and moves %d times in %s", first, seen, took)
	}
	back := n.unwanted(15 * time.Second)
	n.rests()
	n.Logf("quiet again %s after the look", back.Round(time.Millisecond))
}

// cut takes the wire away. Everyday heartbeats are closer for that, or one would wait for two minutes.
func (n *thin) cut() {
	n.Helper()
	beat := time.Minute
	if !full() {
		beat = 2 * time.Second
		n.beat(beat)
	}
	n.lab.rules("berlin", fmt.Sprintf("table inet cut {\n chain out { type filter hook output priority 0; ip daddr %[1]s.11 drop; }\n chain in { type filter hook input priority 0; ip saddr %[1]s.11 drop; }\n}", n.lab.subnet))
	began := time.Now()
	n.until("north shows the site stale", 2*beat+time.Second, func() bool { return quality(n.get("north", thinAtNorth)) == "uncertain/stale" })
	atNorth := time.Since(began)
	n.until("HQ shows it stale", 2*beat+2*time.Second-atNorth, func() bool { return quality(n.get("hq", thinAtHQ)) == "uncertain/stale" })
	atHQ := time.Since(began)
	n.until("the site shows its link down", 2*beat+2*time.Second-atHQ, func() bool { return n.says("berlin", "/links/north:state") != "up" })
	n.Logf("cut with a beat of %s: shown at north after %s, at HQ after %s, at the site after %s", beat,
		atNorth.Round(time.Millisecond), atHQ.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}
