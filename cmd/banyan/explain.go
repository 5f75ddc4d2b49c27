package main

import (
	"context"
	"strconv"
	"strings"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

func newExplain(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "explain",
		Short:   "Say why somebody may do something or not, and what is wrong with a link",
		Long:    "Say why something is as it is.",
		Example: "  banyan explain right alice /devices/plc-7:setpoint operate\n  banyan explain link hq",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newExplainRight(c), newExplainLink(c))
	return cmd
}

func newExplainRight(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "right USER PATH[:NAME] [RIGHT]",
		Short: "Say whether a user may do something, by which rule, and at which node",
		Long: `Say whether a user has a right on a context, a setting, a variable or a function, and by which rule: at this node, and at each
further one on the way to the owner, which are asked. USER is somebody who logs in here, or alice@hq for
somebody of a node that is linked with this one. RIGHT is view, operate, configure or administer; left out it is what NAME asks for.
About yourself you may always ask; about others with the right to administer the node. The exit code is 0 also where it is denied.`,
		Example: "  banyan explain right alice /devices/plc-7:setpoint\n  banyan explain right alice /sites/berlin/devices/plc-7 configure",
		Args:    cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := model.ParseAddress(args[1]); err != nil {
				return usagef(cmd, "%v", err)
			}
			right := ""
			if len(args) == 3 {
				if _, err := model.ParseRight(args[2]); err != nil {
					return usagef(cmd, "%v", err)
				}
				right = args[2]
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			explained, err := at.explain(ctx, args[0], args[1], right)
			if err != nil {
				return err
			}
			return c.printExplanation(explained)
		},
	}
}

// explain asks about somebody: about who asks by what everybody may ask, about others by the node's function.
func (at *client) explain(ctx context.Context, user, address, right string) (*apiv1.Explanation, error) {
	who, err := at.who(ctx, &apiv1.WhoRequest{})
	if err != nil {
		return nil, err
	}
	if user == who.GetName() {
		who, err = at.who(ctx, &apiv1.WhoRequest{Address: address, Right: right})
		return who.GetExplanation(), err
	}
	answer, err := at.system(ctx, "explain_right", texts("user", user, "address", address, "right", right))
	if err != nil {
		return nil, err
	}
	out := &apiv1.Explanation{Allowed: result(answer, "allowed") == "true", Text: result(answer, "text"), Remedy: result(answer, "remedy")}
	rows := tableOf(answer, "hops")
	for i := range rows.rows {
		cell := func(name string) string { return rows.cell(i, name) }
		rule, _ := strconv.ParseInt(cell("rule"), 10, 32)
		out.Hops = append(out.Hops, &apiv1.ExplainedHop{
			Node: cell("node"), Known: cell("known") == "true", Allowed: cell("allowed") == "true", Rule: int32(rule), Origin: cell("origin"),
			Has: cell("has"), Need: cell("need"), Text: cell("text"),
		})
	}
	return out, nil
}

func (c *cli) printExplanation(e *apiv1.Explanation) error {
	if c.json {
		type hop struct {
			Node    string `json:"node"`
			Known   bool   `json:"known"`
			Allowed bool   `json:"allowed"`
			Rule    int32  `json:"rule,omitempty"`
			Origin  string `json:"origin,omitempty"`
			Has     string `json:"has,omitempty"`
			Need    string `json:"need,omitempty"`
			Text    string `json:"text"`
		}
		hops := []hop{}
		for _, h := range e.GetHops() {
			hops = append(hops, hop{h.GetNode(), h.GetKnown(), h.GetAllowed(), h.GetRule(), h.GetOrigin(), h.GetHas(), h.GetNeed(), h.GetText()})
		}
		return c.printJSON(struct {
			Allowed bool   `json:"allowed"`
			Text    string `json:"text"`
			Remedy  string `json:"remedy,omitempty"`
			Hops    []hop  `json:"hops"`
		}{e.GetAllowed(), e.GetText(), e.GetRemedy(), hops})
	}
	verdict := "no"
	if e.GetAllowed() {
		verdict = "yes"
	}
	var lines []string
	for _, h := range e.GetHops() {
		lines = append(lines, "  "+clean(h.GetText()))
	}
	if e.GetRemedy() != "" {
		lines = append(lines, "what to do: "+clean(e.GetRemedy()))
	}
	return c.printf("%s\n%s\n", verdict, strings.Join(lines, "\n"))
}
