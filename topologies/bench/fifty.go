package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"banyan/follow"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/proto"
	"banyan/topologies"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// What the sharing node publishes: 10,000 variables, each of them twenty times a second, a tenth of a device at a time.
const (
	sharedContexts = 100
	sharedPerEach  = 100
	sharedBatch    = 2000
	sharedEvery    = 10 * time.Millisecond
	sharedWarm     = 2 * time.Second
	sharedOnce     = 2   // how much longer one consumer is measured than fifty, as less is seen of it
	profileRate    = 250 // samples a second: at 100 there are too few of what one consumer costs
)

func consumerDir(dir string, number int) string {
	return filepath.Join(dir, fmt.Sprintf("consumer-%02d", number))
}

func sharerDir(dir string) string { return filepath.Join(dir, "sharer") }

// shared is what the sharing process says at its end.
type shared struct {
	Own     time.Duration // processor time outside of carrying
	Carried time.Duration
	Samples uint64 // published meanwhile
	All     uint64 // and with those before
}

// runSharer is a node that shows everything to so many consumers: its hub, the tree behind it and a publisher, and nothing else, so that nothing
// else is measured. It profiles itself for so long at a steady load.
func runSharer(dir string, consumers int, lasts time.Duration, profile string) error {
	authority, err := pki.Load(sharerDir(dir))
	if err != nil {
		return err
	}
	leaf, err := authority.LinkLeaf(pki.LeafConfig{})
	if err != nil {
		return err
	}
	epoch := model.Epoch{Ordinal: 1, Random: 1}
	t := tree.New(tree.Config{FirstChange: 1})
	slots, err := sharedContent(t, authority.ID(), epoch)
	if err != nil {
		return err
	}
	known := topologies.Known{}
	view := follow.NewView(t, model.Root, topologies.Everything{})
	var links []peering.LinkConfig
	for i := range consumers {
		root, err := pki.Look(consumerDir(dir, i))
		if err != nil {
			return err
		}
		id := pki.Fingerprint(root)
		known[id] = root
		name := fmt.Sprintf("consumer-%02d", i)
		links = append(links, peering.LinkConfig{Name: name, Peer: id, Role: pki.RoleProvider, Exports: []peering.Export{{Name: "all", View: view}}})
	}
	hub := peering.NewHub(peering.HubConfig{
		Self: tree.Hop{Node: authority.ID(), Name: "sharer"}, Epoch: epoch, Chain: model.Chain{{Epoch: epoch, First: 1}}, Tree: t,
		Certificate: leaf.Current, Pins: known, Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr}),
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = hub.Run(ctx, listener) }()
	hub.Reconcile(links)
	fmt.Println(listener.Addr())
	if err := allUp(hub, links); err != nil {
		return err
	}
	warm := publishShared(t, slots, sharedWarm)
	result, err := profileShared(t, slots, lasts, profile)
	if err != nil {
		return err
	}
	time.Sleep(sharedWarm / 2) // what is on its way arrives
	if err := allUp(hub, links); err != nil {
		return err
	}
	result.All = warm + result.Samples
	return json.NewEncoder(os.Stdout).Encode(result)
}

// profileShared publishes under a processor profile.
func profileShared(t *tree.Tree, slots []tree.Slot, lasts time.Duration, profile string) (shared, error) {
	var zipped bytes.Buffer
	runtime.SetCPUProfileRate(profileRate) // StartCPUProfile says that it cannot set another rate, and goes on with this one
	if err := pprof.StartCPUProfile(&zipped); err != nil {
		return shared{}, err
	}
	before, err := cpuOf(os.Getpid())
	if err != nil {
		return shared{}, err
	}
	samples := publishShared(t, slots, lasts)
	after, err := cpuOf(os.Getpid())
	pprof.StopCPUProfile()
	if err != nil {
		return shared{}, err
	}
	if profile != "" {
		if err := os.WriteFile(profile, zipped.Bytes(), 0o600); err != nil {
			return shared{}, err
		}
	}
	s, err := readProfile(zipped.Bytes())
	if err != nil {
		return shared{}, err
	}
	all, carried := s.sum(func([]string) bool { return true }), s.sum(carries)
	used := after - before // the kernel knows how much it was, and the profile what it was for
	own := time.Duration(float64(used) * float64(all-carried) / float64(max(1, all)))
	return shared{Own: own, Carried: used - own, Samples: samples}, nil
}

// sharedContent makes the variables.
func sharedContent(t *tree.Tree, node model.NodeID, epoch model.Epoch) ([]tree.Slot, error) {
	wide := model.Schema{Kind: "wide"}
	for i := range sharedPerEach {
		wide.Variables = append(wide.Variables, model.Variable{Name: fmt.Sprintf("v%02d", i), Type: model.TypeFloat64})
	}
	schema, err := proto.NewSchema(wide)
	if err != nil {
		return nil, err
	}
	var slots []tree.Slot
	for i := range sharedContexts {
		puts := []tree.Put{{
			ID:   model.ContextID{Node: node, Epoch: epoch, Number: uint64(i + 1)},
			Path: model.MustPath(fmt.Sprintf("/d%03d", i)), Schema: schema, Version: model.Version{Epoch: epoch, Number: 1},
		}}
		t.Apply(puts, nil)
		for v := range sharedPerEach {
			slots = append(slots, puts[0].Slots.First+tree.Slot(v))
		}
	}
	return slots, nil
}

// publishShared publishes steadily for so long, and says how many samples.
func publishShared(t *tree.Tree, slots []tree.Slot, lasts time.Duration) (samples uint64) {
	var batch tree.Batch
	began, at := time.Now(), 0
	for due := began; ; {
		due = due.Add(sharedEvery/2 + rand.N(sharedEvery)) // at random: at even distances the profile would see always the same of it
		time.Sleep(time.Until(due))
		now := time.Now()
		if now.Sub(began) >= lasts {
			return samples
		}
		batch.Reset()
		source := model.TimeOf(now)
		for range sharedBatch {
			batch.Slots = append(batch.Slots, slots[at])
			batch.Bits = append(batch.Bits, math.Float64bits(float64(samples)))
			batch.Source = append(batch.Source, source)
			if at++; at == len(slots) {
				at = 0
			}
			samples++
		}
		t.Publish(&batch)
	}
}

// allUp waits until every consumer is there.
func allUp(hub *peering.Hub, links []peering.LinkConfig) error {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		up := 0
		for i := range links {
			if status, there := hub.Status(links[i].Name); there && status.State == peering.StateUp {
				up++
			}
		}
		if up == len(links) {
			return nil
		}
		if time.Since(began) > 30*time.Second {
			return fmt.Errorf("%d of %d consumers are linked", up, len(links))
		}
	}
}
