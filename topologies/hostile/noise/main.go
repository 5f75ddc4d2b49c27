// Command noise throws bombs of package hostile at a victim over and over, as it is told by lines: whoever measures what others feel of it starts it. It
// owns neither what it throws nor what is measured.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"banyan/topologies"
	"banyan/topologies/hostile"
)

func main() {
	dir, err := os.MkdirTemp("", "banyan-noise-")
	if err == nil {
		hostile.Within = time.Minute
		err = topologies.MakeNoise(os.Stdin, os.Stdout, (&thrower{dir: dir}).once)
		_ = os.RemoveAll(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "noise:", err)
		os.Exit(1)
	}
}

// thrower is a node that throws bombs. It is another one after each invitation.
type thrower struct {
	dir    string
	joined int
	peer   *hostile.Peer
}

func (t *thrower) once(n topologies.Noise) (func(context.Context) error, error) {
	bombs := hostile.Bombs()
	at := slices.IndexFunc(bombs, func(b *hostile.Bomb) bool { return b.Name == n.Name && b.Role().String() == n.Role })
	if at < 0 {
		return nil, fmt.Errorf("there is no bomb of a %s called %s", n.Role, n.Name)
	}
	if n.Token != "" {
		t.joined++
		var err error
		if t.peer, err = hostile.Join(context.Background(), filepath.Join(t.dir, fmt.Sprint(t.joined)), "noisy", n.Token); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context) error { return t.peer.Throw(ctx, bombs[at]) }, nil
}
