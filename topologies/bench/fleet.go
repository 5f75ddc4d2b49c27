package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"banyan/proto/apiv1"
	"banyan/topologies"
)

// fleet is a centre that is a process of its own, and light probes in another one that are linked to it.
type fleet struct {
	dir    string
	centre *node
	probes *process
	count  int   // of probes
	each   int   // contexts of each
	alone  int64 // resident at the centre before the first joined

	profiled bool
}

// startFleet starts the centre and lets so many probes join, with so many contexts each.
func startFleet(ctx context.Context, dir string, count, each int, profile string) (f *fleet, err error) {
	f = &fleet{dir: dir, count: count, each: each, profiled: profile != ""}
	if f.centre, err = startNode(ctx, dir, "centre", profile); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	for _, limit := range []string{"api_rate", "api_streams"} {
		if _, err := f.centre.trees.Set(ctx, &apiv1.SetRequest{Address: "/system:" + limit, Text: "0"}); err != nil {
			return nil, err
		}
	}
	if f.alone, _, err = memory(f.centre.pid()); err != nil {
		return nil, err
	}
	var tokens []string
	for i := range count {
		name := topologies.ProbeName(i)
		invitation, err := f.centre.call(ctx, "/links", "invite", map[string]string{"name": name, "role": "consumer", "mount": "/probes/" + name})
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, invitation["token"])
	}
	if f.probes, err = start("probes", "-dir", dir, "-contexts", fmt.Sprint(each), "-profile", profile); err != nil {
		return nil, err
	}
	line, err := json.Marshal(tokens)
	if err != nil {
		return nil, err
	}
	_, err = f.order(string(line))
	return f, err
}

// order tells the probes to do something, and returns what they say when it is done.
func (f *fleet) order(line string) (said probesSay, err error) {
	if err := f.probes.tell(line); err != nil {
		return said, err
	}
	return said, f.probes.result(&said)
}

func (f *fleet) stop() {
	if f.probes != nil {
		f.probes.stop()
	}
	f.centre.stop()
}

// good waits until the centre shows every mount as good, on a session that began after a moment, and says how long after that it was.
func (f *fleet) good(ctx context.Context, since time.Time, most time.Duration) (time.Duration, error) {
	for i := 0; i < f.count; {
		state, began, err := f.mount(ctx, i, since)
		switch {
		case err != nil:
			return 0, err
		case state == "good" && began:
			i++
			continue
		case time.Since(since) > most:
			return 0, fmt.Errorf("after %s the mount of %s is %q", most, topologies.ProbeName(i), state)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(since), nil
}

// mount is the state of a mount, and whether it began after a moment.
func (f *fleet) mount(ctx context.Context, number int, after time.Time) (state string, began bool, err error) {
	path := "/mounts/" + topologies.ProbeName(number)
	answer, err := f.centre.trees.Get(ctx, &apiv1.GetRequest{Address: path + ":state"})
	if err != nil {
		return "", false, err
	}
	since, err := f.centre.trees.Get(ctx, &apiv1.GetRequest{Address: path + ":since"})
	if err != nil {
		return "", false, err
	}
	at, _ := time.Parse(time.RFC3339Nano, since.GetValue().GetStringValue())
	return answer.GetValue().GetStringValue(), at.After(after), nil
}

// whole checks that the centre has everything that the probes have, with its values: of some contexts spread over all of them.
func (f *fleet) whole(ctx context.Context) error {
	for i := range 200 {
		probe, context := i*7919%f.count, f.each-1-i*7919%f.each
		address := fmt.Sprintf("/probes/%s%s:v%d", topologies.ProbeName(probe), topologies.ProbeContext(context), i%topologies.ProbeVariables)
		answer, err := f.centre.trees.Get(ctx, &apiv1.GetRequest{Address: address})
		if err != nil {
			return err
		}
		if r := answer; r.GetQuality() != "good" || r.GetValue().GetNumberValue() != float64(context) {
			return fmt.Errorf("%s is %v", address, r)
		}
	}
	return nil
}

// memory is what is resident of a process, and was at its greatest, bytes.
func memory(pid int) (resident, peak int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		into := map[string]*int64{"VmRSS": &resident, "VmHWM": &peak}[name]
		if into == nil {
			continue
		}
		kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		*into = kib << 10
	}
	if resident == 0 || peak == 0 {
		return 0, 0, errors.New("the process does not say what it takes")
	}
	return resident, peak, nil
}

func mebibytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }
