package main

import (
	"strconv"
	"strings"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

// requestJSON is a request as --json shows it.
type requestJSON struct {
	ID        string       `json:"id"`
	Role      string       `json:"role"`
	Fate      string       `json:"fate"`
	Since     string       `json:"since"`
	Operation string       `json:"operation"`
	Path      string       `json:"path"`
	Name      string       `json:"name,omitempty"`
	Who       string       `json:"who,omitempty"`
	Made      string       `json:"made"`
	Until     string       `json:"until"`
	Attempts  int64        `json:"attempts"`
	Via       []string     `json:"via,omitempty"`
	Kind      string       `json:"kind,omitempty"`
	Problem   string       `json:"problem,omitempty"`
	Revision  string       `json:"revision,omitempty"`
	Results   []resultJSON `json:"results,omitempty"`
}

func requestOf(info *apiv1.RequestInfo) requestJSON {
	form := requestJSON{
		info.GetId(), info.GetRole(), info.GetFate(), info.GetSince(), info.GetOperation(), info.GetPath(), info.GetName(), info.GetWho(), info.GetMade(),
		info.GetUntil(), info.GetAttempts(), info.GetVia(), info.GetKind(), info.GetProblem(), info.GetRevision(), nil,
	}
	for _, r := range info.GetResults() {
		form.Results = append(form.Results, resultJSON{r.GetName(), r.GetType(), valueJSON(r.GetType(), r.GetValue()), r.GetUnit()})
	}
	return form
}

func newRequests(c *cli) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "requests",
		Short: "Show requests that are sent until they are answered, and what became of them",
		Long: `Show the requests that a node keeps: those made here with --until, those that pass it on their way, and those that it does itself as the owner.
Shown are your own ones, and those for what you may see. Their fates:

  pending   it waits, and was not handed to the owner
  sent      it was sent, and no answer is here yet
  started   the owner is at it
  done      the owner has done it
  failed    it was refused or cancelled, and is not done
  expired   its time was over before it was done, and it is not done any more
  unknown   it may have been done or not, and nobody will find out: look, and decide anew

Only the node where a request was made sends it again. What is not declared idempotent is not done twice. A request is remembered for a day
after its end.`,
		Example: "  banyan set /sites/berlin/devices/plc:limit 40 --until 2h\n  banyan requests\n  banyan requests show ID --wait\n  banyan requests cancel ID",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			t := &table{}
			t.add("REQUEST", "FATE", "SINCE", "UNTIL", "ROLE", "WHO", "DOES", "TRIES", "WHY")
			for after, more := "", true; more; {
				answer, err := ask(ctx, at, "requests", model.Address{}, at.trees.Requests, &apiv1.RequestsRequest{Ended: all, After: after})
				if err != nil {
					return err
				}
				for _, info := range answer.GetRequests() {
					after = info.GetId()
					if c.json {
						if err := c.printJSON(requestOf(info)); err != nil {
							return err
						}
						continue
					}
					t.add(info.GetId(), info.GetFate(), wholeSeconds(info.GetSince()), wholeSeconds(info.GetUntil()), info.GetRole(), orDash(info.GetWho()),
						info.GetOperation()+" "+addressOf(info), strconv.FormatInt(info.GetAttempts(), 10), orDash(info.GetProblem()))
				}
				more = answer.GetMore()
			}
			if c.json {
				return nil
			}
			return t.write(c.out)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that have ended, too")
	cmd.AddCommand(newRequestsShow(c), newRequestsCancel(c))
	return cmd
}

func newRequestsShow(c *cli) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:               "show ID",
		Short:             "Show one request with what it gave",
		Long:              "Show one request with what it gave. The exit code says its fate: 0 done, 6 not ended, 5 expired or unknown, and that of the refusal where it failed.\nThe first digits of the ID, four at least, do where no other request of yours begins so.",
		Example:           "  banyan requests show 00112233445566778899aabbccddeeff\n  banyan requests show 0011 --wait",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeRequest,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" { // which asks for all
				return usagef(cmd, "which request? Give its ID")
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			answer, err := ask(ctx, at, "requests show", model.Address{}, at.trees.Requests, &apiv1.RequestsRequest{Id: args[0]})
			if err != nil {
				return err
			}
			info := answer.GetRequests()[0]
			if wait {
				if info, err = c.await(cmd.Context(), at, info); err != nil {
					return err
				}
			}
			return c.printRequest(info)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it has ended, whatever --timeout says")
	return cmd
}

func newRequestsCancel(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "cancel ID",
		Short:             "Give up a request that has not been sent",
		Long:              "Give up a request that was made at this node and has not been sent. One that was sent may have been done, and is waited for.\nThe first digits of the ID, four at least, do where no other request of yours begins so.",
		Example:           "  banyan requests cancel 00112233445566778899aabbccddeeff",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeRequest,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			info, err := ask(ctx, at, "requests cancel", model.Address{}, at.trees.CancelRequest, &apiv1.CancelRequestRequest{Id: args[0]})
			switch {
			case err != nil:
				return err
			case c.json:
				return c.printJSON(requestOf(info))
			}
			return c.printf("cancelled: %s %s\n", clean(info.GetOperation()), clean(addressOf(info)))
		},
	}
}

// completeRequest completes the first argument by the requests that there are, since nobody types an ID.
func (c *cli) completeRequest(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const no = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, no
	}
	ctx, at, stop, ok := c.completing(cmd.Context())
	if !ok {
		return nil, no
	}
	defer stop()
	answer, err := ask(ctx, at, "requests", model.Address{}, at.trees.Requests, &apiv1.RequestsRequest{Ended: cmd.Name() != "cancel"})
	if err != nil {
		return nil, no
	}
	var found []cobra.Completion
	for _, info := range answer.GetRequests() {
		if strings.HasPrefix(info.GetId(), typed) {
			found = append(found, cobra.CompletionWithDesc(clean(info.GetId()), clean(info.GetFate()+": "+info.GetOperation()+" "+addressOf(info))))
		}
	}
	return found, no
}

// printRequest prints everything of a request.
func (c *cli) printRequest(info *apiv1.RequestInfo) error {
	if c.json {
		if err := c.printJSON(requestOf(info)); err != nil {
			return err
		}
		return endedWith{code: keptCode(info)}.orNil()
	}
	t := &table{}
	for _, row := range [][2]string{
		{"request", info.GetId()}, {"fate", info.GetFate()}, {"since", wholeSeconds(info.GetSince())}, {"why", info.GetProblem()},
		{"does", info.GetOperation() + " " + addressOf(info)}, {"who", info.GetWho()}, {"made", wholeSeconds(info.GetMade())},
		{"until", wholeSeconds(info.GetUntil())}, {"role", info.GetRole()}, {"tries", strconv.FormatInt(info.GetAttempts(), 10)},
		{"via", route(info.GetVia())}, {"revision", info.GetRevision()},
	} {
		if row[1] != "" {
			t.add(row[0], row[1])
		}
	}
	for _, r := range info.GetResults() {
		t.add(r.GetName(), valueText(r.GetType(), r.GetValue())+" "+r.GetUnit())
	}
	if err := t.write(c.out); err != nil {
		return err
	}
	return endedWith{code: keptCode(info)}.orNil()
}
