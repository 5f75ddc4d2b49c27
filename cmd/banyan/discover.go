package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/protobuf/types/known/structpb"
)

// discoverTimeout is how long a discovery may take where --timeout does not say: a silent /20 takes about two minutes.
const discoverTimeout = 10 * time.Minute

// discovering is what the flags of discover say.
type discovering struct {
	at     string
	kinds  string
	hints  []string
	stdin  string
	create string
	each   time.Duration
}

func newDiscover(c *cli) *cobra.Command {
	var d discovering
	cmd := &cobra.Command{
		Use:   "discover SUBNET",
		Short: "Find devices in a subnet",
		Long: `Ask the addresses of a subnet what is there, and print what answers. SUBNET is prefixes, ranges and addresses,
separated by commas, 4096 addresses at most. The node asks, not this machine. --hint gives settings that are the
same for all addresses; a secret one is better read with --stdin, so that no list of processes shows it. --create
makes a device of each that is not there yet. Interrupted, or at --timeout (10m if not given), it ends with what
was found by then.`,
		Example: `  banyan discover 10.0.0.0/24 --kinds snmp --hint community=public
  echo "$COMMUNITY" | banyan discover 10.0.0.0/22 --stdin community --create /devices/hall
  banyan discover 192.168.7.1-192.168.7.40 --at /sites/berlin/devices`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("timeout") {
				c.timeout = discoverTimeout
			}
			at, err := parsePath(cmd, []string{d.at})
			if err != nil {
				return err
			}
			given, err := d.arguments(c, cmd, args[0])
			if err != nil {
				return err
			}
			return c.discover(cmd.Context(), at, given)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&d.at, "at", "/devices", "the place of devices of the node that is to ask")
	flags.StringVar(&d.kinds, "kinds", "", "kinds of devices, separated by commas; all that can be found if not given")
	flags.StringArrayVar(&d.hints, "hint", nil, "a setting that is the same for all, as `NAME=VALUE`")
	flags.StringVar(&d.stdin, "stdin", "", "`NAME` of a hint that is read from standard input")
	flags.StringVar(&d.create, "create", "", "create devices below this `PATH` of the node that asks")
	flags.DurationVar(&d.each, "each", 0, "how long to wait at each address; 2s if not given")
	return cmd
}

// arguments are those of the function.
func (d *discovering) arguments(c *cli, cmd *cobra.Command, subnet string) (named, error) {
	given := named{texts: map[string]string{"subnet": subnet}, values: map[string]*structpb.Value{}}
	if d.kinds != "" {
		given.texts["kinds"] = d.kinds
	}
	if d.each != 0 {
		given.texts["timeout"] = d.each.String()
	}
	if d.create != "" {
		given.texts["create"], given.texts["under"] = "true", d.create
	}
	hints, err := parseNamed(d.hints)
	if err != nil || len(hints.values) > 0 {
		return given, usagef(cmd, "--hint is NAME=VALUE")
	}
	if d.stdin != "" {
		if hints.has(d.stdin) {
			return given, usagef(cmd, "the hint %s is given twice", d.stdin)
		}
		if hints.texts[d.stdin], err = c.readInput(); err != nil {
			return given, err
		}
	}
	if len(hints.texts) == 0 {
		return given, nil
	}
	var rows []any
	for name, text := range hints.texts {
		rows = append(rows, []any{name, text})
	}
	column := func(name string) any { return map[string]any{"name": name, "type": "string"} }
	given.values["hints"], err = structpb.NewValue(map[string]any{"columns": []any{column("name"), column("value")}, "rows": rows})
	return given, err
}

func (c *cli) discover(interrupted context.Context, at model.Path, given named) error {
	// An interrupt ends the discovery and not the wait for what it has found; a second one is the end.
	ctx, node, stop, err := c.connect(context.WithoutCancel(interrupted))
	if err != nil {
		return err
	}
	defer stop()
	address := model.Address{Path: at, Name: "discover"}
	defer context.AfterFunc(interrupted, func() {
		_, _ = node.call(ctx, model.Address{Path: at, Name: "cancel_discovery"}, named{})
	})()
	if err := node.authenticate(ctx, false); err != nil {
		return onTheWay("call", address, err)
	}
	clear := c.showProgress(ctx, node, at)
	answer, err := node.call(ctx, address, given)
	clear()
	if err != nil {
		return err
	}
	if c.json {
		return c.printResults(address, answer)
	}
	return c.printDiscovered(answer)
}

// showProgress keeps a line on a terminal that tells how far the discovery is. What it returns ends that and clears the line.
func (c *cli) showProgress(ctx context.Context, node *client, at model.Path) (clear func()) {
	file, isFile := c.errs.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var addresses []string
		for _, name := range []string{"done", "total", "found"} {
			addresses = append(addresses, model.Address{Path: at, Name: "discovery_" + name}.String())
		}
		stream, err := node.trees.Watch(node.prove(ctx), &apiv1.WatchRequest{Addresses: addresses})
		if err != nil {
			return
		}
		defer stream.Close()
		now := map[string]string{}
		for stream.Receive() {
			for _, r := range stream.Msg().GetReadings() {
				now[r.GetName()] = valueText(r.GetType(), r.GetValue())
			}
			_, _ = fmt.Fprintf(file, "\r\x1b[K%s of %s addresses asked, %s found ", clean(now["discovery_done"]), clean(now["discovery_total"]), clean(now["discovery_found"]))
		}
	}()
	return func() {
		cancel()
		<-done
		_, _ = fmt.Fprint(file, "\r\x1b[K")
	}
}

// printDiscovered prints what was found as a table, and how it ended where that was not the end.
func (c *cli) printDiscovered(answer *apiv1.CallResponse) error {
	found := tableOf(answer, "found")
	t := &table{}
	if len(found.rows) > 0 {
		t.add("ADDRESS", "KIND", "PROFILE", "NAME", "DEVICE", "DESCRIPTION")
	}
	for row := range found.rows {
		description := found.cell(row, "description")
		if problem := found.cell(row, "problem"); problem != "" {
			description = problem
		}
		t.add(found.cell(row, "address"), found.cell(row, "kind"), found.cell(row, "profile"), found.cell(row, "name"), found.cell(row, "device"), description)
	}
	if err := t.write(c.out); err != nil {
		return err
	}
	if problems := result(answer, "problems"); problems != "" {
		c.note("Not everything could be asked: %s", clean(problems))
	}
	switch ended := result(answer, "ended"); ended {
	case "complete":
		c.note("%s addresses were asked, %d devices found.", clean(result(answer, "done")), len(found.rows))
	case "deadline":
		c.note("The time was over after %s of %s addresses; --timeout gives more.", clean(result(answer, "done")), clean(result(answer, "total")))
	default:
		c.note("Ended after %s of %s addresses: %s.", clean(result(answer, "done")), clean(result(answer, "total")), clean(ended))
	}
	return nil
}
