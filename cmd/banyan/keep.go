package main

import (
	"context"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

// keeping are the flags of a request that the node keeps and sends until it is answered.
type keeping struct {
	until string
	wait  bool
}

func (k *keeping) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.until, "until", "", "have the node send it until it is answered, or until then: 10m, or an instant")
	cmd.Flags().BoolVar(&k.wait, "wait", false, "with --until: wait until its fate is known, whatever --timeout says")
}

// check refuses what does not go together.
func (k *keeping) check(cmd *cobra.Command) error {
	if k.wait && k.until == "" {
		return usagef(cmd, "--wait goes with --until")
	}
	return nil
}

// settled tells what is known of a request that was kept: nothing where it was done already, so that the command says so itself. With --wait it waits
// for the end. One that has not ended is told as such, with an exit code of its own.
func (c *cli) settled(ctx context.Context, at *client, k *keeping, info *apiv1.RequestInfo) (done bool, err error) {
	if info == nil || info.GetFate() == model.FateDone.String() {
		return true, nil
	}
	if k.wait {
		if info, err = c.await(ctx, at, info); err != nil {
			return false, err
		}
	}
	return false, c.printKept(info)
}

// await asks for a request until it has ended or somebody interrupts.
func (c *cli) await(ctx context.Context, at *client, info *apiv1.RequestInfo) (*apiv1.RequestInfo, error) {
	for !ended(info) {
		asked, stop := context.WithTimeout(ctx, 20*time.Second)
		answer, err := ask(asked, at, "requests", model.Address{}, at.trees.Requests, &apiv1.RequestsRequest{Id: info.GetId(), Wait: true})
		stop()
		switch {
		case ctx.Err() != nil:
			c.note("The node goes on with it: banyan requests show %s", clean(info.GetId()))
			return nil, &model.Error{Kind: model.KindCanceled, Detail: "interrupted"}
		case err != nil && asked.Err() == nil:
			return nil, err
		case err == nil:
			info = answer.GetRequests()[0]
		}
	}
	return info, nil
}

func ended(info *apiv1.RequestInfo) bool {
	fate, err := model.ParseFate(info.GetFate())
	return err == nil && fate.Ended()
}

// printKept tells one request, and ends with what its fate means.
func (c *cli) printKept(info *apiv1.RequestInfo) error {
	if c.json {
		if err := c.printJSON(requestOf(info)); err != nil {
			return err
		}
		return endedWith{code: keptCode(info)}.orNil()
	}
	what := info.GetOperation() + " " + addressOf(info)
	switch info.GetFate() {
	case model.FateDone.String():
		if len(info.GetResults()) > 0 {
			return c.printRequest(info)
		}
		return c.printDone(what+": done", doneJSON{Revision: info.GetRevision(), Mirrored: true, Via: info.GetVia()})
	case model.FateFailed.String(), model.FateExpired.String(), model.FateUnknown.String():
		return endedWith{code: keptCode(info), err: &model.Error{Kind: kindOfText(info), Detail: what + ": " + info.GetFate() + ": " + info.GetProblem()}}
	}
	if err := c.printf("kept: %s is %s until %s\nrequest %s\n", clean(what), clean(info.GetFate()), wholeSeconds(info.GetUntil()), clean(info.GetId())); err != nil {
		return err
	}
	if info.GetProblem() != "" {
		c.note("%s", clean(info.GetProblem()))
	}
	return endedWith{code: exitKept}
}

// orNil is no error for the exit code 0.
func (e endedWith) orNil() error {
	if e.code == exitOK {
		return nil
	}
	return e
}

// keptCode is the exit code for the fate of a request.
func keptCode(info *apiv1.RequestInfo) int {
	switch info.GetFate() {
	case model.FateDone.String():
		return exitOK
	case model.FateFailed.String():
		return exitCode(&model.Error{Kind: kindOfText(info)})
	case model.FateExpired.String(), model.FateUnknown.String():
		return exitUnavailable
	}
	return exitKept
}

// kindOfText is the kind of what is wrong with a request.
func kindOfText(info *apiv1.RequestInfo) model.ErrorKind {
	for kind := model.KindInternal; kind <= model.KindUnknownFate; kind++ {
		if kind.String() == info.GetKind() {
			return kind
		}
	}
	return model.KindInternal
}

func addressOf(info *apiv1.RequestInfo) string {
	if info.GetName() == "" {
		return info.GetPath()
	}
	return info.GetPath() + ":" + info.GetName()
}
