package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"banyan/proto/apiv1"
	"banyan/topologies"
)

// R3: what a neighbour feels of a noisy one. The neighbour, who asks and who watches run on one processor, the victim and the noisy neighbour on another one.
const (
	noiseRounds   = 10
	noiseRate     = 1000 // updates a second
	noiseWindow   = time.Second
	noiseSettle   = 200 * time.Millisecond
	noiseLoad     = 1000 // variables
	allowedLoss   = 0.10
	ownProcessor  = 0
	victimsPlace  = 1
	consumersView = "/**"
)

// noises are the nastiest bombs of a linked node, and attacks by others, in the order in which they are made. Each linked node joins anew: one that has broken
// the protocol is not heard for a while, and would make no noise.
var noises = []topologies.Noise{
	{Name: "samples as fast as they go", Role: "provider"},
	{Name: "long texts as samples", Role: "provider"},
	{Name: "kinds without end", Role: "provider"},
	{Name: "requests at once", Role: "consumer"},
	{Name: "questions at once", Role: "consumer"},
	{Name: "interest that changes", Role: "consumer"},
	{Name: "comparison without end", Role: "consumer"},
	{Name: "never reads", Role: "consumer"},
	{Name: "packed request", Role: "consumer"},
	{Name: "connections without end", Role: "consumer"},
	{Name: "stranger at links: handshakes"},
	{Name: "stranger at api: handshakes"},
	{Name: "stranger at api: rapid reset"},
	{Name: "person at api: rapid reset"},
}

func nameOf(n *topologies.Noise) string {
	if n.Role == "" {
		return n.Name
	}
	return n.Role + ": " + n.Name
}

// felt is what was measured of one noise, or of silence beside silence where it has no name.
type felt struct {
	noise         *topologies.Noise
	without, with []float64 // p99 of each round, microseconds
	missed, skips uint64    // updates beside the noise: not seen, and told as left out
	cores         float64   // that the victim used beside the noise
	times         int
	said          string
}

// loss is by how much the median p99 is greater with the noise, a share.
func (f *felt) loss() float64 { return median(f.with)/median(f.without) - 1 }

// spread is by how much the medians of two equal halves differ.
func (f *felt) spread() float64 {
	without, with := median(f.without), median(f.with)
	return max(without, with)/min(without, with) - 1
}

// noiseScene is a victim with a neighbour that publishes, somebody who watches that, and one that can make noise.
type noiseScene struct {
	dir               string
	chain             *chain
	gauge             *process
	thrower, attacker *process // that make noise
	window            time.Duration
	joined            int
}

func measureNoise(ctx context.Context, o *options) (all []*felt, err error) {
	err = inDirectory(func(dir string) error {
		s, err := startNoise(ctx, dir, o)
		if err != nil {
			return err
		}
		defer s.stop()
		silence := &felt{}
		if err := s.rounds(ctx, silence); err != nil {
			return err
		}
		all = append(all, silence)
		for i := range noises {
			if !strings.Contains(nameOf(&noises[i]), o.name) {
				continue
			}
			f := &felt{noise: &noises[i]}
			if err := s.rounds(ctx, f); err != nil {
				return fmt.Errorf("%s: %w", nameOf(f.noise), err)
			}
			all = append(all, f)
			fmt.Fprintf(os.Stderr, "  %s\n", f.line(silence.spread()))
		}
		if len(all) == 1 {
			return fmt.Errorf("there is no noise whose name has %q in it", o.name)
		}
		return nil
	})
	return all, err
}

// startNoise starts all of them; the neighbour publishes from then on.
func startNoise(ctx context.Context, dir string, o *options) (s *noiseScene, err error) {
	s = &noiseScene{dir: dir, window: noiseWindow, chain: &chain{}}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	for _, at := range []struct {
		name string
		cpu  int
	}{{"edge", ownProcessor}, {"victim", victimsPlace}} {
		n, err := startNodeAt(ctx, place{cpu: at.cpu}, dir, at.name, o.profile)
		if err != nil {
			return nil, err
		}
		s.chain.nodes = append(s.chain.nodes, n)
	}
	if err := s.chain.link(ctx, noiseLoad, loadGroup); err != nil {
		return nil, err
	}
	victim := s.chain.centre()
	if _, err := victim.trees.Set(ctx, &apiv1.SetRequest{Address: "/system:log_level", Text: "error"}); err != nil { // each noise is a warning
		return nil, err
	}
	if s.gauge, err = start("gauge", append(place{cpu: ownProcessor}.arguments(), "-address", victim.at.API, "-dir", victim.dir, "-path", s.chain.path+loadDevice)...); err != nil {
		return nil, err
	}
	if _, err := s.gauge.line(); err != nil { // it is told all that there is
		return nil, err
	}
	if s.thrower, err = startNoisy(dir, "hostile"); err != nil {
		return nil, err
	}
	if s.attacker, err = startNoisy(dir, "siege"); err != nil {
		return nil, err
	}
	_, err = s.chain.edge().trees.Set(ctx, &apiv1.SetRequest{Address: loadDevice + ":rate", Text: fmt.Sprint(noiseRate)})
	return s, err
}

// startNoisy builds and starts the program that makes the noise of a package, beside the victim.
func startNoisy(dir, of string) (*process, error) {
	program := filepath.Join(dir, of)
	build := exec.Command("go", "build", "-o", program, "banyan/topologies/"+of+"/noise")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building what makes noise, which needs the sources around: %w", err)
	}
	p, err := startProgram(os.Stderr, program)
	if err != nil {
		return nil, err
	}
	return p, place{cpu: victimsPlace}.give(p.pid())
}

func (s *noiseScene) stop() {
	for _, p := range []*process{s.thrower, s.attacker, s.gauge} {
		if p != nil {
			p.stop()
		}
	}
	s.chain.stop()
}

// rounds measures without the noise and with it, in turns, of which every other one begins with it.
func (s *noiseScene) rounds(ctx context.Context, f *felt) error {
	if f.noise != nil {
		if err := s.invite(ctx, f.noise); err != nil {
			return err
		}
	}
	for round := range noiseRounds {
		for half := range 2 {
			if noisily := (round+half)%2 == 1; noisily {
				if err := s.noisily(f); err != nil {
					return err
				}
				continue
			}
			seen, err := s.listen()
			if err != nil {
				return err
			}
			f.without = append(f.without, seen.P99)
		}
	}
	return nil
}

// noisily measures with the noise.
func (s *noiseScene) noisily(f *felt) error {
	if f.noise != nil {
		line, err := json.Marshal(f.noise)
		if err != nil {
			return err
		}
		if _, err := s.order(f.noise, string(line)); err != nil {
			return err
		}
		f.noise.Token = "" // it has joined
	}
	before, err := cpu(s.chain.centre().pid())
	if err != nil {
		return err
	}
	began := time.Now()
	seen, err := s.listen()
	if err != nil {
		return err
	}
	after, err := cpu(s.chain.centre().pid())
	if err != nil {
		return err
	}
	f.with = append(f.with, seen.P99)
	f.missed, f.skips = f.missed+seen.Missed, f.skips+seen.Conflated
	f.cores += (after - before).Seconds() / time.Since(began).Seconds() / noiseRounds
	if f.noise == nil {
		return nil
	}
	said, err := s.order(f.noise, "")
	f.times += said.Times
	if said.Last != "" {
		f.said = said.Last
	}
	return err
}

// listen is what is seen for a while, after what went on before has come to rest.
func (s *noiseScene) listen() (seen arrived, err error) {
	time.Sleep(noiseSettle)
	for _, wait := range []time.Duration{0, s.window} {
		time.Sleep(wait)
		if err := s.gauge.tell(""); err != nil {
			return seen, err
		}
		seen = arrived{}
		if err := s.gauge.result(&seen); err != nil {
			return seen, err
		}
	}
	if seen.P99 == 0 {
		return seen, fmt.Errorf("nothing arrived for %s", s.window)
	}
	return seen, nil
}

// order tells who makes a noise something, and is how it went until then.
func (s *noiseScene) order(n *topologies.Noise, line string) (made topologies.NoiseMade, err error) {
	maker := s.attacker
	if n.Role != "" {
		maker = s.thrower
	}
	if err := maker.tell(line); err != nil {
		return made, err
	}
	return made, maker.result(&made)
}

// invite lets the victim invite the one that makes a noise.
func (s *noiseScene) invite(ctx context.Context, n *topologies.Noise) error {
	victim := s.chain.centre()
	n.API, n.Links, n.Data = victim.at.API, victim.at.Links, victim.dir
	if n.Role == "" {
		token, err := os.ReadFile(victim.dir + "/token")
		n.Session = strings.TrimSpace(string(token))
		return err
	}
	s.joined++
	name := fmt.Sprintf("noisy-%d", s.joined)
	terms := map[string]string{"name": name, "role": "provider", "right": "view", "paths": consumersView} // the part of the one who invites
	if n.Role == "provider" {
		terms = map[string]string{"name": name, "role": "consumer", "mount": "/" + name}
	}
	invitation, err := victim.call(ctx, "/links", "invite", terms)
	n.Token = invitation["token"]
	return err
}

// line is a noise for people, beside the spread of equal rounds.
func (f *felt) line(spread float64) string {
	bar := max(allowedLoss, spread)
	text := fmt.Sprintf("%-38s p99 %6.0f us without, %6.0f us with: %+6.1f %% (bar: %.1f %%); victim %.2f processors, %d times, %d of %d updates not seen",
		nameOf(f.noise), median(f.without), median(f.with), 100*f.loss(), 100*bar, f.cores, f.times, f.missed, noiseRounds*noiseRate)
	if f.said != "" {
		text += fmt.Sprintf("; it says %.60q", f.said)
	}
	return text + ": " + verdictOf(f.loss() <= bar)
}

func reportNoise(all []*felt) {
	silence := all[0]
	rounds := slices.Concat(silence.without, silence.with)
	fmt.Printf("R3  silence beside silence: median p99 over %d rounds %.0f and %.0f us, A-A spread %.1f %%; single rounds %.0f to %.0f us\n",
		noiseRounds, median(silence.without), median(silence.with), 100*silence.spread(), slices.Min(rounds), slices.Max(rounds))
	met := true
	for _, f := range all[1:] {
		fmt.Printf("R3  %s\n", f.line(silence.spread()))
		met = met && f.loss() <= max(allowedLoss, silence.spread())
	}
	fmt.Printf("R3  all of them: %s\n", verdictOf(met))
}
