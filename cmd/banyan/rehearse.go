package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

const (
	// rehearsalAsk bounds one request of a rehearsal, so that a node that hangs is noticed while its lease still runs.
	rehearsalAsk  = 3 * time.Second
	rehearsalLook = time.Second
	// rehearsalLeft is for how long the node is asked again where it does not answer; after that the rehearsal has ended there.
	rehearsalLeft = 8 * time.Second
)

func newRehearse(c *cli) *cobra.Command {
	var schedule string
	var lasts time.Duration
	var end bool
	cmd := &cobra.Command{
		Use:   "rehearse LINK [WHAT]...",
		Short: "Rehearse an outage: make the line of a link worse on purpose",
		Long: `Make the line of a link worse on purpose, and show how the link is meanwhile, until --for has passed or Ctrl-C. It ends within 15 s also when
this command dies or cannot reach the node any more, and with the node's program; another link is never touched. Of WHAT:
  delay=300ms    what is sent arrives so much later, each way
  jitter=50ms    and by chance up to that much earlier or later
  rate=20k       so many bytes a second, each way (k, M, G)
  loss=2%        so many packets are lost, which in a stream is a pause each time
  block=in       silence: nothing arrives here (in), nothing leaves (out), or both
  cut            connections break, and none comes about
  refuse         those that stand are left alone, and none comes about
A schedule has a step a line, or apart by semicolons, each over WHAT: after=10s for=5s cut repeat=3. It needs the right to administer
the link, at the node itself: a request that came over a link cannot change it.`,
		Example: `  banyan rehearse hq block=both --for 2m
  banyan rehearse hq delay=600ms jitter=50ms rate=20k --for 30m
  banyan rehearse hq --schedule "after=30s for=10s cut repeat=5" --for 10m
  banyan rehearse hq --schedule @outages.txt --for 1h
  banyan rehearse hq --end`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: c.completeChild(linksPath),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := linksPath.Child(args[0])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			if end {
				return c.endRehearsal(cmd.Context(), path)
			}
			if len(args) == 1 && schedule == "" {
				return usagef(cmd, "say what is to be done to the line, like block=both")
			}
			if name, is := strings.CutPrefix(schedule, "@"); is {
				raw, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				schedule = string(raw)
			}
			return c.rehearse(cmd.Context(), path, texts("what", strings.Join(args[1:], " "), "schedule", schedule, "for", lasts.String()))
		},
	}
	cmd.Flags().StringVar(&schedule, "schedule", "", "the `STEPS`, or @FILE with them")
	cmd.Flags().DurationVar(&lasts, "for", time.Minute, "how long at most, up to 1h")
	cmd.Flags().BoolVar(&end, "end", false, "end the rehearsal that runs on the link, whoever began it")
	return cmd
}

func (c *cli) endRehearsal(ctx context.Context, path model.Path) error {
	ctx, at, stop, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if _, err := at.call(ctx, model.Address{Path: path, Name: "end_rehearsal"}, named{}); err != nil {
		return err
	}
	return c.printDone("nothing is rehearsed on "+path.String()+" any more", doneJSON{Mirrored: true})
}

// rehearse begins a rehearsal, keeps it going and shows the link until it ends.
func (c *cli) rehearse(ctx context.Context, path model.Path, given map[string]string) error {
	to, err := c.resolve()
	if err != nil {
		return err
	}
	at, err := c.dial(to)
	if err != nil {
		return err
	}
	ask := func(ctx context.Context, function string, given map[string]string) (*apiv1.CallResponse, error) {
		at.until = time.Now().Add(rehearsalAsk)
		ctx, stop := at.bound(ctx)
		defer stop()
		return at.call(ctx, model.Address{Path: path, Name: function}, named{texts: given})
	}
	began, err := ask(ctx, "rehearse", given)
	if err != nil {
		return err
	}
	id := result(began, "id")
	c.note("%s", clean(fmt.Sprintf("%s until %s: %s", path.Base(), result(began, "until"), result(began, "plan"))))
	err = c.keepRehearsing(ctx, func(ctx context.Context) (*apiv1.CallResponse, error) {
		return ask(ctx, "extend_rehearsal", texts("id", id))
	}, func(ctx context.Context) (*apiv1.ContextInfo, error) {
		at.until = time.Now().Add(rehearsalAsk)
		ctx, stop := at.bound(ctx)
		defer stop()
		return at.describe(ctx, path)
	})
	if ctx.Err() == nil {
		return err
	}
	if _, err := ask(context.WithoutCancel(ctx), "end_rehearsal", nil); err != nil { // Ctrl-C
		return err
	}
	c.note("ended")
	return nil
}

// shownLink is how a link is while an outage is rehearsed on it.
type shownLink struct {
	Time   string `json:"time"`
	Now    string `json:"now"`
	State  string `json:"state"`
	Lag    string `json:"lag,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// keepRehearsing extends the lease and prints the link whenever it is another, until the rehearsal is over or ctx ends.
func (c *cli) keepRehearsing(
	ctx context.Context, extend func(context.Context) (*apiv1.CallResponse, error), look func(context.Context) (*apiv1.ContextInfo, error),
) error {
	ticker := time.NewTicker(rehearsalLook)
	defer ticker.Stop()
	var was shownLink
	for heard := time.Now(); ; {
		kept, err := extend(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			heard = time.Now()
		case model.KindOf(err) == model.KindNotFound:
			c.note("it is over")
			return nil
		case time.Since(heard) > rehearsalLeft:
			return err
		}
		if info, err := look(ctx); err == nil && kept != nil {
			shown := shownLink{Now: result(kept, "now")}
			for name, to := range map[string]*string{"state": &shown.State, "detail": &shown.Detail} {
				if r, there := readingOf(info, name); there {
					*to = valueText(r.GetType(), r.GetValue())
				}
			}
			if shown != was {
				was = shown
				if r, there := readingOf(info, "lag"); there {
					shown.Lag = lag(r, time.Now())
				}
				if err := c.printShown(shown); err != nil {
					return err
				}
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *cli) printShown(s shownLink) error {
	now := time.Now()
	if c.json {
		s.Time = now.UTC().Format(time.RFC3339)
		return c.printJSON(s)
	}
	line := fmt.Sprintf("%s  %s  link %s", now.Format(time.TimeOnly), s.Now, s.State)
	if s.State == "up" {
		line += ", lag " + s.Lag
	}
	if s.Detail != "" {
		line += ": " + s.Detail
	}
	return c.printf("%s\n", clean(line))
}
