package main

import (
	"context"
	"encoding/json"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

type resultJSON struct {
	Name  string          `json:"name"`
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
	Unit  string          `json:"unit,omitempty"`
}

type calledJSON struct {
	Results []resultJSON `json:"results"`
	Via     []string     `json:"via,omitempty"`
}

func newCall(c *cli) *cobra.Command {
	var flags namedFlags
	var keep keeping
	cmd := &cobra.Command{
		Use:   "call PATH:FUNCTION [NAME=VALUE]...",
		Short: "Call a function of a context",
		Long: `Call a function of a context, at the node that owns it, and print what it answers. NAME=VALUE is read by the
parameter's type; NAME:=JSON gives the JSON form. "banyan get PATH" shows the functions of a context. At
--timeout the owner's work ends, too.`,
		Example: `  banyan call /sites/berlin/devices/local:poll_now --timeout 3s
  banyan call /devices/plc:write register=40001 values:='[1,2,3]'`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: c.completeAddress(nameCallable),
		RunE: func(cmd *cobra.Command, args []string) error {
			address, err := parseAddress(cmd, args[0])
			if err == nil {
				err = keep.check(cmd)
			}
			if err != nil {
				return err
			}
			given, err := flags.read(c, cmd, args[1:])
			if err != nil {
				return err
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			answer, err := at.callUntil(ctx, address, given, keep.until)
			if err != nil {
				return err
			}
			if ended, err := c.settled(cmd.Context(), at, &keep, answer.GetRequest()); !ended || err != nil {
				return err
			}
			return c.printResults(address, answer)
		},
	}
	flags.register(cmd)
	keep.register(cmd)
	return cmd
}

func (at *client) call(ctx context.Context, address model.Address, given named) (*apiv1.CallResponse, error) {
	return at.callUntil(ctx, address, given, "")
}

func (at *client) callUntil(ctx context.Context, address model.Address, given named, until string) (*apiv1.CallResponse, error) {
	return ask(ctx, at, "call", address, at.trees.Call, &apiv1.CallRequest{
		Path: address.Path.String(), Function: address.Name, Texts: given.texts, Arguments: given.values, Until: until,
	})
}

func (c *cli) printResults(address model.Address, answer *apiv1.CallResponse) error {
	if c.json {
		form := calledJSON{Results: []resultJSON{}, Via: answer.GetVia()}
		for _, r := range answer.GetResults() {
			form.Results = append(form.Results, resultJSON{r.GetName(), r.GetType(), valueJSON(r.GetType(), r.GetValue()), r.GetUnit()})
		}
		return c.printJSON(form)
	}
	t := &table{}
	for _, r := range answer.GetResults() {
		if r.GetType() == model.TypeTable.String() {
			continue
		}
		row := []string{r.GetName(), valueText(r.GetType(), r.GetValue())}
		if r.GetUnit() != "" {
			row[1] += " " + r.GetUnit()
		}
		t.add(row...)
	}
	if len(answer.GetResults()) == 0 {
		return c.printDone("called "+address.String(), doneJSON{Mirrored: true, Via: answer.GetVia()})
	}
	if err := t.write(c.out); err != nil {
		return err
	}
	return c.printTables(answer)
}

// printTables prints what a function answered as tables, each under its name and how many rows it has.
func (c *cli) printTables(answer *apiv1.CallResponse) error {
	for _, r := range answer.GetResults() {
		if r.GetType() != model.TypeTable.String() {
			continue
		}
		content := readTable(r.GetValue())
		if err := c.printf("%s: %d\n", clean(r.GetName()), len(content.rows)); err != nil {
			return err
		}
		if err := content.print(content.names...).write(c.out); err != nil {
			return err
		}
	}
	return nil
}

// result finds one answer of a function as text, "" when there is none of that name.
func result(answer *apiv1.CallResponse, name string) string {
	for _, r := range answer.GetResults() {
		if r.GetName() == name {
			return valueText(r.GetType(), r.GetValue())
		}
	}
	return ""
}
