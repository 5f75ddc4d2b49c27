// Command noise makes attacks of package siege over and over, as it is told by lines: whoever measures what others feel of it starts it. It
// owns neither what it throws nor what is measured.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"banyan/pki"
	"banyan/topologies"
	"banyan/topologies/siege"
)

func main() {
	if err := topologies.MakeNoise(os.Stdin, os.Stdout, once); err != nil {
		fmt.Fprintln(os.Stderr, "noise:", err)
		os.Exit(1)
	}
}

func once(n topologies.Noise) (func(context.Context) error, error) {
	attacks := siege.Attacks()
	at := slices.IndexFunc(attacks, func(a siege.Attack) bool { return a.String() == n.Name })
	if at < 0 {
		return nil, fmt.Errorf("there is no attack called %s", n.Name)
	}
	root, err := pki.Look(n.Data)
	if err != nil {
		return nil, err
	}
	target := &siege.Target{API: n.API, Links: n.Links, Token: n.Session, Path: "/system", Root: root, Node: pki.Fingerprint(root)}
	return func(ctx context.Context) error {
		attacks[at].Run(ctx, target)
		return nil
	}, nil
}
