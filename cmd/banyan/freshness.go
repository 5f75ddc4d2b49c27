package main

import (
	"encoding/json"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
)

func newFreshness(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "freshness PATH",
		Short: "Show how fresh what another node owns is here, hop by hop",
		Long: `Show how fresh what another node owns is here: since when all of it is known to be true, and for each hop on the way to the owner
how the link is, what comes over it is as of when, how long a heartbeat takes, for how long something is missing that was told
(changes of contexts and settings, samples), how far the clocks are apart, and how often samples come. Times are by the clock of
the node that is asked. What this node owns itself is true now.`,
		Example:           "  banyan freshness /regions/north/sites/berlin/devices/local\n  banyan freshness /sites/berlin/devices/local --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := model.ParsePath(args[0])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			info, err := at.describe(ctx, path)
			if err != nil {
				return err
			}
			return c.printFreshness(info)
		},
	}
}

func (c *cli) printFreshness(info *apiv1.ContextInfo) error {
	f := info.GetFreshness()
	if c.json {
		return c.printJSON(struct {
			Path string          `json:"path"`
			Own  bool            `json:"own"`
			AsOf string          `json:"as_of,omitempty"`
			Hops json.RawMessage `json:"hops"`
		}{info.GetPath(), f == nil, f.GetAsOf(), hopsJSON(f)})
	}
	if f == nil {
		return c.printf("%s is this node's own: it is true now\n", clean(info.GetPath()))
	}
	now := time.Now()
	asOf := "not known"
	if old := age(f.GetAsOf(), now); old != "" {
		asOf = old + " ago (" + wholeSeconds(f.GetAsOf()) + ")"
	}
	if err := c.printf("%s  at %s\ntrue as of %s\n", clean(info.GetPath()), clean(route(info.GetVia())), clean(asOf)); err != nil {
		return err
	}
	t := &table{}
	t.add("FROM", "TO", "STATE", "SINCE", "TRUE AS OF", "HEARTBEAT", "MISSING", "CLOCK", "SAMPLES")
	for _, h := range f.GetHops() {
		t.add(h.GetFrom(), h.GetTo(), h.GetState(), orNone(age(h.GetSince(), now)), orNone(age(h.GetAsOf(), now)), orNone(h.GetLag()), missing(h), orNone(clock(h)), orNone(samples(h)))
	}
	return t.write(c.out)
}

func orNone(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// missing says for how long something is missing in which lane.
func missing(h *apiv1.FreshnessHop) string {
	var parts []string
	if h.GetChangesBehind() != "" {
		parts = append(parts, "changes "+h.GetChangesBehind())
	}
	if h.GetSamplesBehind() != "" {
		parts = append(parts, "samples "+h.GetSamplesBehind())
	}
	return orNone(strings.Join(parts, ", "))
}

// clock says how far the clock of the one is off for the other.
func clock(h *apiv1.FreshnessHop) string {
	switch by, err := time.ParseDuration(h.GetSkew()); {
	case err != nil:
		return ""
	case by.Abs() < time.Second:
		return "agrees"
	case by < 0:
		return (-by).String() + " behind"
	default:
		return by.String() + " ahead"
	}
}

func samples(h *apiv1.FreshnessHop) string {
	switch h.GetInterval() {
	case "":
		return ""
	case "0s":
		return "live"
	case "never":
		return "never"
	}
	return "every " + h.GetInterval()
}

// hopsJSON is the hops with the keys of the API.
func hopsJSON(f *apiv1.Freshness) json.RawMessage {
	parts := []string{}
	for _, h := range f.GetHops() {
		if raw, err := (protojson.MarshalOptions{UseProtoNames: true}).Marshal(h); err == nil {
			parts = append(parts, string(raw))
		}
	}
	return json.RawMessage("[" + strings.Join(parts, ",") + "]")
}
