package ping

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"banyan/devices"
	"banyan/devices/devicetest"
	"banyan/model"
)

// TestSoakTwoThousandHosts runs 2,000 devices with the settings that they have by themselves in one manager, a tenth of them dead, and says what
// that costs. Every host that lives is polled in every interval.
func TestSoakTwoThousandHosts(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("BANYAN_SOAK"))
	if err != nil {
		t.Skip("BANYAN_SOAK says for how long")
	}
	if !devicetest.InNamespace(t) {
		return
	}
	devicetest.Firewall(t, "ip daddr 127.9.0.0/16 drop")
	const hosts = 2000
	polls := make([]atomic.Int64, hosts)
	m, err := devices.New(devices.Config{Drivers: []devices.Driver{New()}, Sink: func(id model.ContextID) devices.Sink {
		return &counter{polls: &polls[id.Number], Recorder: devicetest.NewRecorder(devices.Complete(schema))}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	specs := make([]devices.Spec, hosts)
	for i := range specs {
		net := 1
		if i%10 == 0 {
			net = 9
		}
		specs[i] = devices.Spec{ID: model.ContextID{Number: uint64(i)}, Path: model.MustPath(fmt.Sprintf("/devices/h%d", i)), Kind: Kind, Settings: devices.Settings{
			"host": model.String(fmt.Sprintf("127.%d.%d.%d", net, i/200, 1+i%200)),
		}}
	}
	if err := m.Reconcile(specs); err != nil {
		t.Fatal(err)
	}
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	var running sync.WaitGroup
	running.Go(func() { _ = m.Run(ctx) })
	running.Wait()
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	spent := time.Duration(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano()) * time.Nanosecond
	t.Logf("%s for %d hosts in %s: %.1f %% of a core", spent, hosts, length, 100*spent.Seconds()/length.Seconds())
	for i := range polls {
		if least := int64(length/devices.DefaultPollInterval) - 1; i%10 != 0 && polls[i].Load() < least {
			t.Errorf("host %d was polled %d times, expected %d at least", i, polls[i].Load(), least)
		}
	}
}

// counter counts the polls in which something was answered.
type counter struct {
	*devicetest.Recorder
	polls *atomic.Int64
}

func (c *counter) Publish(batch []devices.Update) {
	for _, u := range batch {
		if u.Variable == variableReceived && u.Value.Int64() > 0 {
			c.polls.Add(1)
		}
	}
	c.Recorder.Publish(batch)
}
