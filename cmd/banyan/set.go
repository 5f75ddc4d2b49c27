package main

import (
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"
)

// doneJSON is what became of a change.
type doneJSON struct {
	ID       string   `json:"id,omitempty"`
	Revision string   `json:"revision,omitempty"`
	Mirrored bool     `json:"mirrored"`
	Via      []string `json:"via,omitempty"`
}

// printDone tells what became of a change, and where.
func (c *cli) printDone(what string, done doneJSON) error {
	if c.json {
		return c.printJSON(done)
	}
	if done.Revision != "" {
		what += ", revision " + done.Revision
	}
	if len(done.Via) > 0 {
		what += ", at " + route(done.Via)
	}
	if !done.Mirrored {
		what += " (this node does not show it yet)"
	}
	return c.printf("%s\n", clean(what))
}

func newSet(c *cli) *cobra.Command {
	var value, expected string
	var standard bool
	var keep keeping
	cmd := &cobra.Command{
		Use:   "set PATH:NAME VALUE",
		Short: "Set a setting, or a variable that can be written",
		Long: `Set a setting or a writable variable, at the node that owns it. It is done, and on the owner's disk, when the
command ends with 0. VALUE is read by the type: 2s, true, 12, some text; - reads it from standard input, so
that no list of processes shows it. Tables and texts that look like something else are given with --value.`,
		Example: `  banyan set /sites/berlin/devices/local:poll_interval 2s
  banyan set /devices/sim:offset -- -5
  banyan set /users/bob:rules --value '{"columns":[{"name":"pattern","type":"string"},{"name":"right","type":"string"}],"rows":[["/**","view"]]}'
  banyan set /users/bob:password - < password.txt
  banyan set /devices/local:poll_interval --default
  banyan set /sites/berlin/devices/plc:limit 40 --until 2h`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: c.completeAddress(nameSettable),
		RunE: func(cmd *cobra.Command, args []string) error {
			address, err := parseAddress(cmd, args[0])
			if err == nil {
				err = keep.check(cmd)
			}
			if err != nil {
				return err
			}
			given := len(args) - 1
			for _, name := range []string{"value", "default"} {
				if cmd.Flags().Changed(name) {
					given++
				}
			}
			if given != 1 {
				return usagef(cmd, "give VALUE, --value JSON or --default, and one of them only")
			}
			request := &apiv1.SetRequest{Address: address.String(), Expected: expected, Until: keep.until}
			switch {
			case standard:
				request.Value = structpb.NewNullValue()
			case len(args) == 1:
				if request.Value, err = parseJSON(value); err != nil {
					return usagef(cmd, "%v", err)
				}
			case args[1] == "-":
				text, err := c.readInput()
				if err != nil {
					return err
				}
				request.Text, request.Value = typed(text)
			default:
				request.Text, request.Value = typed(args[1])
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			done, err := ask(ctx, at, "set", address, at.trees.Set, request)
			if err != nil {
				return err
			}
			if ended, err := c.settled(cmd.Context(), at, &keep, done.GetRequest()); !ended || err != nil {
				return err
			}
			return c.printDone("set "+address.String(), doneJSON{Revision: done.GetRevision(), Mirrored: done.GetMirrored(), Via: done.GetVia()})
		},
	}
	keep.register(cmd)
	cmd.Flags().StringVar(&value, "value", "", "the value in the JSON form of its type")
	cmd.Flags().BoolVar(&standard, "default", false, "put the setting's default back")
	cmd.Flags().StringVar(&expected, "expected", "", "do it only if this is the current revision")
	return cmd
}

// typed is text as a person types it. An empty text cannot be told from none on the wire and goes as JSON.
func typed(text string) (string, *structpb.Value) {
	if text == "" {
		return "", structpb.NewStringValue("")
	}
	return text, nil
}
