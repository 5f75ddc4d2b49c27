package trials

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"banyan/proto/apiv1"
	"banyan/topologies"

	"github.com/hashicorp/go-hclog"
)

// What a centre may take while all its probes come back at once, and how long that may take.
const (
	probesBack      = 120 * time.Second // a thousand
	probesBackLeast = 20 * time.Second
	peakAlone       = 120 << 20
	peakForEach     = 400 << 10
	dialsForEach    = 3 // on the average: who is sent away since too many stand at the door comes again
	probeContexts   = 10
)

// probed is a centre with light probes.
type probed struct {
	*trial
	probes  *topologies.Probes
	count   int
	dialled uint64 // connections, before what is waited for began
}

func startProbed(t *testing.T, count int) *probed {
	t.Helper()
	p := &probed{trial: start(t, "network: probed\nnodes:\n  hq: {}\n", nil), count: count}
	if _, err := p.at("hq").Tree.Set(t.Context(), &apiv1.SetRequest{Address: "/system:api_rate", Text: "0"}); err != nil {
		t.Fatal(err)
	}
	var tokens []string
	for i := range count {
		name := topologies.ProbeName(i)
		answer, err := p.at("hq").Tree.Call(t.Context(), &apiv1.CallRequest{
			Path: "/links", Function: "invite", Texts: map[string]string{"name": name, "role": "consumer", "mount": "/probes/" + name},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range answer.GetResults() {
			if r.GetName() == "token" {
				tokens = append(tokens, r.GetValue().GetStringValue())
			}
		}
	}
	var err error
	if p.probes, err = topologies.JoinProbes(t.Context(), topologies.ProbesConfig{
		Dir: t.TempDir(), Tokens: tokens, Contexts: probeContexts, Logger: hclog.NewNullLogger(),
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.probes.Close)
	p.back(time.Time{}, "all have joined")
	return p
}

// back waits until all probes are linked on connections that began after a moment and the centre shows all that they have as good, and checks how long that
// took and how often they had to come for it.
func (p *probed) back(since time.Time, what string) {
	p.Helper()
	most := max(probesBackLeast, probesBack*time.Duration(p.count)/1000)
	began := since
	if began.IsZero() {
		began = time.Now()
	}
	p.until(what, most, func() bool { return p.probes.Up(since) == p.count })
	for i := range p.count {
		address := fmt.Sprintf("/probes/%s%s:v3", topologies.ProbeName(i), topologies.ProbeContext(i%probeContexts))
		p.until(what+", and "+address+" is good", max(most-time.Since(began), time.Second), func() bool {
			r := p.get("hq", address)
			return quality(r) == "good" && r.GetValue().GetNumberValue() == float64(i%probeContexts)
		})
	}
	took := time.Since(began)
	dialled := p.probes.Dialled() - p.dialled
	p.dialled += dialled
	p.Logf("%s: %d probes after %s, with %d connections", what, p.count, took.Round(time.Millisecond), dialled)
	if took > most {
		p.Errorf("%s after %s, at most %s is promised", what, took, most)
	}
	if dialled > uint64(dialsForEach*p.count) {
		p.Errorf("%s: %d connections were made by %d probes", what, dialled, p.count)
	}
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peak is what was resident of the centre at most.
func (p *probed) peak() int64 {
	p.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid("hq")))
	if err != nil {
		p.Fatal(err)
	}
	found := peakLine.FindSubmatch(status)
	if found == nil {
		p.Fatal("the process does not say what it took")
	}
	kib, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		p.Fatal(err)
	}
	return kib << 10
}

// All probes of a centre that is killed and started again are back in time, and what they have is good again; so they are when all their connections break in
// the same moment. The centre's memory is bounded by how many there are, and nobody is kept out for long for coming with all the others.
func TestProbesComeBack(t *testing.T) {
	p := startProbed(t, times(30, 1000))
	p.kill(p.pid("hq"))
	began := time.Now()
	p.restart("hq")
	p.back(began, "all are back after the centre was killed")
	broken := time.Now()
	p.probes.Cut()
	p.back(broken, "all are back after all connections broke")
	peak, most := p.peak(), int64(peakAlone+p.count*peakForEach)
	t.Logf("the centre took %d MiB at most", peak>>20)
	if peak > most {
		t.Errorf("the centre took %d MiB, at most %d are promised", peak>>20, most>>20)
	}
}
