package topologies

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"banyan/devices"
	"banyan/devices/host"
	"banyan/devices/simulator"
	"banyan/model"
	"banyan/yamlfile"
)

var update = flag.Bool("update", false, "write what is found as what is wanted")

var drivers = []devices.Driver{host.Driver{}, simulator.Driver{}}

// TestBroken: each broken file is answered with where, what and what to do.
func TestBroken(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 12 {
		t.Fatalf("there are %d broken files", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			_, err := ReadFile(file, drivers)
			var problems yamlfile.Problems
			if !errors.As(err, &problems) || model.KindOf(err) != model.KindInvalid {
				t.Fatalf("it is taken for a topology: %v", err)
			}
			for _, p := range problems {
				if p.Line < 1 || p.Column < 1 || p.Text == "" || p.Remedy == "" {
					t.Errorf("incomplete: %+v", p)
				}
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			got := strings.ReplaceAll(err.Error(), filepath.Dir(file)+"/", "") + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestThreeTier(t *testing.T) {
	topology, err := ReadFile("three-tier.yaml", drivers)
	if err != nil {
		t.Fatal(err)
	}
	if topology.Name != "three-tier" || !slices.Equal(topology.Names(), []string{"hq", "region-north", "berlin", "hamburg"}) {
		t.Errorf("%s has %v", topology.Name, topology.Names())
	}
	hamburg, _ := topology.Node("hamburg")
	if len(hamburg.Devices) != 2 || hamburg.Devices[0].Path != model.MustPath("/devices/local") || hamburg.Devices[0].Kind != "host" {
		t.Errorf("what the alias stands for: %+v", hamburg.Devices)
	}
	if s := hamburg.Devices[0].Settings; len(s) != 1 || s[0].Name != "poll_interval" || s[0].Text != "1s" {
		t.Errorf("settings: %+v", s)
	}
	if len(topology.Links) != 3 {
		t.Fatalf("%d links", len(topology.Links))
	}
	l := &topology.Links[0]
	if l.Dialer() != "region-north" || l.Listener() != "hq" || l.Export.Right != model.RightConfigure || l.Mount != model.MustPath("/regions/north") {
		t.Errorf("first link: %+v", l)
	}
	if provider, consumer := topology.Ends(l); provider != (End{"region-north", "hq"}) || consumer != (End{"hq", "region-north"}) {
		t.Errorf("its ends: %v, %v", provider, consumer)
	}
	if len(topology.Users) != 2 || topology.Users[1].String() != "alice@hq" || topology.Users[1].Context() != "alice-at-hq" || len(topology.Users[1].Rules) != 1 {
		t.Errorf("users: %+v", topology.Users)
	}
}

// TestMerge: a merge key brings what the mapping does not say itself, wherever it stands.
func TestMerge(t *testing.T) {
	topology, err := Check("merge.yaml", []byte(`
network: merge
nodes:
  one: &one
    devices: &devices
      /devices/sim: &sim {kind: simulator, points: 1, step: 2}
  two: {<<: *one, listeners: {links: "127.0.0.1:4000"}}
  three:
    devices:
      /devices/sim: {points: 3, <<: *sim}
      <<: [*devices, {/devices/local: {kind: host}}]
links:
  - {provider: one, consumer: two, mount: /one}
  - {provider: two, consumer: one, mount: /two, dials: consumer}
  - {provider: two, consumer: two, mount: /self, self: true}
`), drivers)
	if err != nil {
		t.Fatal(err)
	}
	two, _ := topology.Node("two")
	if len(two.Devices) != 1 || two.Listeners.Links != "127.0.0.1:4000" {
		t.Errorf("two: %+v", two)
	}
	three, _ := topology.Node("three")
	if len(three.Devices) != 2 {
		t.Fatalf("three: %+v", three)
	}
	points := map[string]string{}
	for _, s := range three.Devices[0].Settings {
		points[s.Name] = s.Text
	}
	if len(points) != 2 || points["points"] != "3" || points["step"] != "2" {
		t.Errorf("three's own setting does not win: %v", points)
	}
	var names []string
	for i := range topology.Links {
		provider, consumer := topology.Ends(&topology.Links[i])
		names = append(names, provider.Link, consumer.Link)
	}
	if want := []string{"two-consumer", "one-provider", "one-consumer", "two-provider", "two-consumer", "two-provider"}; !slices.Equal(names, want) {
		t.Errorf("names of links: %v, want %v", names, want)
	}
}

// FuzzCheck: whatever a file holds, the answer is a topology or problems with places that are in it.
func FuzzCheck(f *testing.F) {
	files, _ := filepath.Glob("testdata/broken/*.yaml")
	for _, file := range append(files, "three-tier.yaml") {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		topology, err := Check("fuzz.yaml", source, drivers)
		var problems yamlfile.Problems
		switch {
		case err == nil && (topology.Name == "" || len(topology.Nodes) == 0):
			t.Errorf("an empty topology is accepted")
		case err != nil && (!errors.As(err, &problems) || len(problems) == 0):
			t.Errorf("an error without problems: %v", err)
		}
		for _, p := range problems {
			if lines := 1 + strings.Count(strings.ReplaceAll(string(source), "\r", "\n"), "\n"); p.Line < 1 || p.Column < 1 || p.Line > lines+1 || p.Text == "" || p.Remedy == "" {
				t.Errorf("a problem without a place or a remedy: %+v", p)
			}
		}
	})
}
