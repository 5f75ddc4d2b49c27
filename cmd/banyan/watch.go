package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

func newWatch(c *cli) *cobra.Command {
	var count int
	var period time.Duration
	cmd := &cobra.Command{
		Use:   "watch PATH:NAME... | PATH...",
		Short: "Print readings as they change",
		Long: `Print readings as they change, first what they are now. PATH alone watches all of a context. It goes on until it
is interrupted, --for has passed or --count readings came; --timeout bounds how long the first takes. With
--json each reading is one line. A reader that is too slow gets the latest value instead of each one, and is told.`,
		Example: `  banyan watch /sites/berlin/devices/local:cpu_percent
  banyan watch /devices/local /devices/sim:p1 --json
  banyan watch /devices/local:cpu_percent --for 1m`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: c.completeAddress(nameReadable),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				if _, err := model.ParseAddress(arg); err != nil {
					return usagef(cmd, "%v", err)
				}
			}
			if count < 0 || period < 0 {
				return usagef(cmd, "--count and --for are not negative")
			}
			return c.watch(cmd.Context(), args, count, period)
		},
	}
	cmd.Flags().IntVar(&count, "count", 0, "end after so many readings; 0 goes on")
	cmd.Flags().DurationVar(&period, "for", 0, "end after this time; 0 goes on")
	return cmd
}

// errWatched ends a watch whose time is over.
var errWatched = errors.New("watched for long enough")

func (c *cli) watch(ctx context.Context, addresses []string, count int, period time.Duration) error {
	to, err := c.resolve()
	if err != nil {
		return err
	}
	at, err := c.dial(to)
	if err != nil {
		return err
	}
	interrupted := ctx.Done()
	opening, opened := at.bound(ctx)
	defer opened()
	// A stream cannot be sent twice, so that the session is tried with a request before.
	if _, err := ask(opening, at, "watch", model.Address{}, at.session.Who, &apiv1.WhoRequest{}); err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if period > 0 {
		timer := time.AfterFunc(period, func() { end(errWatched) })
		defer timer.Stop()
	}
	waiting := context.AfterFunc(opening, func() { end(context.Cause(opening)) }) // until the first reading
	stream, err := at.trees.Watch(at.prove(ctx), &apiv1.WatchRequest{Addresses: addresses})
	if err == nil {
		defer stream.Close()
		shown, told := 0, false
		for stream.Receive() {
			waiting()
			for _, r := range stream.Msg().GetReadings() {
				if err := c.printWatched(reading{r}); err != nil {
					return err
				}
				if shown++; shown == count {
					return nil
				}
			}
			if stream.Msg().GetConflated() && !told {
				c.note("This reader is too slow for each value: some are left out.")
				told = true
			}
		}
		err = stream.Err()
	}
	select {
	case <-interrupted:
		return nil
	default:
	}
	if errors.Is(context.Cause(ctx), errWatched) {
		return nil
	}
	if err == nil {
		return &model.Error{Kind: model.KindUnavailable, Op: "watch", Detail: "the node ended the stream", Remedy: "try again"}
	}
	return at.failure(ctx, "watch", model.Address{}, err)
}

func (c *cli) printWatched(r reading) error {
	if c.json {
		return c.printJSON(r)
	}
	when := "-"
	if t, err := model.ParseTime(r.GetTime()); err == nil && t != 0 {
		when = t.Std().Local().Format("15:04:05.000")
	}
	_, err := fmt.Fprintf(c.out, "%-12s  %s  %s  %s\n", when, clean(r.address()), clean(r.text()), clean(r.quality(time.Now())))
	return err
}
