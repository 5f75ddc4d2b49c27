package trials

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/proto/apiv1"
)

const fateTiers = `network: fates
nodes:
  hq: {}
  north: {}
  berlin: {}
links:
  - {provider: north, consumer: hq, dials: provider, export: {paths: ["/**"], right: configure}, mount: /regions/north}
  - {provider: berlin, consumer: north, dials: provider, export: {paths: ["/**"], right: configure}, mount: /sites/berlin}
`

const farCounter = "/regions/north/sites/berlin/devices/counter"

// fateStep is a step of a kept request: the node that reaches it, and how many of the three requests do.
type fateStep struct {
	name, at string
	requests int
}

var fateSteps = []fateStep{
	{"made", "hq", 3}, {"sent", "hq", 3}, {"started", "berlin", 3}, {"done", "berlin", 2}, {"recorded", "berlin", 3},
}

// TestKilledAtEachStep makes three kept requests at HQ for a device at berlin: a call that may not be done twice, one that may, and a set. When they
// have come to a step, one of the three nodes is killed, for each step and each node. After it is back all three nodes say the same of
// each request, and it is true; nothing that may not be done twice was.
func TestKilledAtEachStep(t *testing.T) {
	t.Setenv("TRIAL_COUNTER", "1")
	t.Setenv("TRIAL_RECONNECT", "300ms")
	tr := start(t, fateTiers, nil)
	if _, err := tr.at("berlin").Tree.Create(tr.Context(), &apiv1.CreateRequest{
		Path: "/devices/counter", Kind: "counter", Texts: map[string]string{"poll_interval": "1h"},
	}); err != nil {
		t.Fatal(err)
	}
	round := 0
	for _, step := range fateSteps {
		for _, victim := range []string{"hq", "north", "berlin"} {
			round++
			began := time.Now()
			tr.killAt(step, victim, round)
			t.Logf("at %s, %s killed: %s", step.name, victim, time.Since(began).Round(time.Millisecond))
		}
	}
}

// kept are the requests of one round.
type kept struct {
	call, again, set string // IDs
	word             string
	value            string
}

func (t *trial) nodeFile(node, name string) string {
	return filepath.Join(t.network.Dir(), "nodes", node, name)
}

func (t *trial) killAt(step fateStep, victim string, round int) {
	t.Helper()
	t.until("the device is there", 30*time.Second, func() bool {
		return quality(t.get("hq", farCounter+":state")) == "good" && t.get("hq", "/links/north:state").GetValue().GetStringValue() == "up"
	})
	if err := os.WriteFile(t.nodeFile(step.at, "hold"), []byte(step.name), 0o600); err != nil {
		t.Fatal(err)
	}
	k := kept{word: fmt.Sprintf("word-%d", round), value: fmt.Sprint(1000 + round)}
	for i, id := range []*string{&k.call, &k.again, &k.set} {
		raw := [16]byte{byte(round), byte(i + 1)}
		*id = hex.EncodeToString(raw[:])
	}
	pid := t.pid(victim)
	made := t.make(&k)
	t.Cleanup(func() {
		for _, node := range []string{"hq", "north", "berlin"} {
			if t.Failed() {
				t.Logf("round %d: %s says %s, %s, %s", round, node, t.fate(node, k.call), t.fate(node, k.again), t.fate(node, k.set))
			}
		}
	})
	t.until("the requests have come to "+step.name, 20*time.Second, func() bool {
		held, _ := filepath.Glob(t.nodeFile(step.at, "held-*"))
		return len(held) >= step.requests
	})
	t.kill(pid)
	held, _ := filepath.Glob(t.nodeFile(step.at, "held-*"))
	for _, file := range append(held, t.nodeFile(step.at, "hold")) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	made()
	t.restart(victim)
	t.judge(step, victim, &k)
}

// make makes the requests at HQ, and returns what waits for the answers, whatever they are.
func (t *trial) make(k *kept) (wait func()) {
	client := t.at("hq").Tree
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	var work sync.WaitGroup
	call := func(id, function, word string) {
		work.Go(func() {
			_, err := client.Call(ctx, &apiv1.CallRequest{
				Path: farCounter, Function: function, Texts: map[string]string{"word": word}, Id: id, Until: "5m", Async: true,
			})
			t.Logf("%s: %v", function, err)
		})
	}
	call(k.call, "count", k.word)
	call(k.again, "count_again", k.word+"-again")
	work.Go(func() {
		_, err := client.Set(ctx, &apiv1.SetRequest{Address: farCounter + ":limit", Text: k.value, Id: k.set, Until: "5m", Async: true})
		t.Logf("set: %v", err)
	})
	return func() { work.Wait(); cancel() }
}

// judge waits until all nodes know the fates, and compares them with what is true.
func (t *trial) judge(step fateStep, victim string, k *kept) {
	t.Helper()
	want, effects := "done", 1
	if victim == "berlin" && step.name == "started" {
		want, effects = "unknown", 0
	}
	if victim == "berlin" && step.name == "done" {
		want = "unknown"
	}
	for _, each := range []struct{ id, want string }{{k.call, want}, {k.again, "done"}, {k.set, "done"}} {
		for _, node := range []string{"hq", "north", "berlin"} {
			got := ""
			began := time.Now()
			for got = t.fate(node, each.id); got != each.want && time.Since(began) < 45*time.Second; got = t.fate(node, each.id) {
				<-time.After(20 * time.Millisecond)
			}
			if got != each.want {
				t.Errorf("at %s, %s killed: %s says that request %s is %s, it is %s", step.name, victim, node, each.id, got, each.want)
			}
		}
	}
	counted, err := os.ReadFile(t.nodeFile("berlin", "counted"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	lines := strings.Split(string(counted), "\n")
	count := func(word string) (n int) {
		for _, line := range lines {
			if line == word {
				n++
			}
		}
		return n
	}
	if got := count(k.word); got != effects {
		t.Errorf("at %s, %s killed: the call was done %d times, not %d", step.name, victim, got, effects)
	}
	if got := count(k.word + "-again"); got < 1 || got > 2 {
		t.Errorf("at %s, %s killed: the call that may be repeated was done %d times", step.name, victim, got)
	}
	if got := t.get("berlin", "/devices/counter:limit").GetValue().GetStringValue(); got != k.value {
		t.Errorf("at %s, %s killed: berlin has %s, set was %s", step.name, victim, got, k.value)
	}
	if got := t.setsOf(k.set); got != 1 {
		t.Errorf("at %s, %s killed: it was set %d times", step.name, victim, got)
	}
}

// fate is what a node says of a request.
func (t *trial) fate(node, id string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	answer, err := t.at(node).Tree.Requests(ctx, &apiv1.RequestsRequest{Id: id})
	if err != nil {
		return err.Error()
	}
	return answer.GetRequests()[0].GetFate()
}

// setsOf counts in berlin's audit log how often a request was done.
func (t *trial) setsOf(id string) int {
	t.Helper()
	raw, err := hex.DecodeString(id)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	err = copyOf(t.T, t, "berlin").QueryRowContext(t.Context(), "SELECT count(*) FROM audit WHERE request = ? AND outcome = 'done'", raw).Scan(&count)
	if err != nil {
		t.Fatal(err)
	}
	return count
}
