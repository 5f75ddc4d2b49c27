package trials

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"banyan/proto/apiv1"
)

// A poll that HQ asks for is done once, after it was asked for.
func TestPollNowIsOnePoll(t *testing.T) {
	tr := start(t, threeTiers, nil)
	device := at("berlin", "/devices/slow")
	tr.until("the device was polled", 30*time.Second, func() bool { return quality(tr.get("hq", device+":all_bool")) == "good" })
	polls := func() int {
		n, err := strconv.Atoi(tr.get("hq", device+":polls").GetValue().GetStringValue())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before, asked := polls(), time.Now()
	answer, err := tr.at("hq").Tree.Call(tr.Context(), &apiv1.CallRequest{Path: device, Function: "poll_now"})
	if err != nil {
		t.Fatal(err)
	}
	polled := time.Time{}
	for _, r := range answer.GetResults() {
		if r.GetName() == "time" {
			polled, err = time.Parse(time.RFC3339Nano, r.GetValue().GetStringValue())
		}
	}
	if err != nil || polled.Before(asked) {
		t.Errorf("asked at %s, polled at %s, %v", asked, polled, err)
	}
	tr.until("the count shows it", 5*time.Second, func() bool { return polls() != before })
	if after := polls(); after != before+1 {
		t.Errorf("%d polls became %d", before, after)
	}
}

// A device that hangs ends a call at its deadline, names where, and holds up nobody else.
func TestHangingDevice(t *testing.T) {
	tr := start(t, threeTiers, nil)
	device, other := at("berlin", "/devices/slow"), at("berlin", "/devices/sim")
	tr.until("the devices are there", 30*time.Second, func() bool { return quality(tr.get("hq", other+":updates")) == "good" })
	if _, err := tr.at("hq").Tree.Set(tr.Context(), &apiv1.SetRequest{Address: device + ":hang", Text: "true"}); err != nil {
		t.Fatal(err)
	}
	polls := func() int {
		n, _ := strconv.Atoi(tr.get("hq", other+":polls").GetValue().GetStringValue())
		return n
	}
	before := polls()
	ctx, cancel := context.WithTimeout(tr.Context(), 3*time.Second)
	defer cancel()
	began := time.Now()
	_, err := tr.at("hq").Tree.Call(ctx, &apiv1.CallRequest{Path: device, Function: "poll_now"})
	if took := time.Since(began); err == nil || took > 3500*time.Millisecond {
		t.Errorf("the call ended after %s with %v", took, err)
	}
	if after := polls(); after < before+4 {
		t.Errorf("the other device was polled %d times in 3 s, every 500 ms was due", after-before)
	}
}

// A node stops within ten seconds though its peer and its device hang.
func TestStopDoesNotWaitForWhoHangs(t *testing.T) {
	tr := start(t, threeTiers, nil)
	tr.until("the devices are there", 30*time.Second, func() bool { return quality(tr.get("hq", at("berlin", "/devices/sim:updates"))) == "good" })
	if _, err := tr.at("berlin").Tree.Set(tr.Context(), &apiv1.SetRequest{Address: "/devices/slow:hang", Text: "true"}); err != nil {
		t.Fatal(err)
	}
	north := tr.pid("north")
	tr.signal(north, syscall.SIGSTOP)
	defer tr.signal(north, syscall.SIGCONT)
	pid := tr.pid("berlin")
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		_, _ = tr.at("berlin").Tree.Call(ctx, &apiv1.CallRequest{Path: "/devices/slow", Function: "poll_now"})
	}()
	tr.signal(pid, syscall.SIGTERM)
	took := tr.until("berlin has ended", 10*time.Second, func() bool { return gone(pid) })
	t.Logf("ended after %s", took)
}
