package main

import (
	"context"
	"errors"
	"path/filepath"

	"banyan/doctor"
	"banyan/model"
	"banyan/server"

	"github.com/spf13/cobra"
)

// errNotInOrder ends the program with a code that scripts notice; what is wrong was printed.
var errNotInOrder = errors.New("something is wrong: see above")

func newDoctor(c *cli) *cobra.Command {
	var dir, config string
	cmd := &cobra.Command{
		Use:   "doctor [--dir DIR | --config FILE]",
		Short: "Look whether a node and its machine are in order",
		Long: `Look whether a node and its machine are in order: room on the disk, permissions of keys, the clock, versions, limits
of the system, certificates, ports, the database, backup, links and devices. Each line says how it is, and what to do
where something is wrong. Without flags the node that runs is asked; --dir looks at the directory of one on this
machine, whether or not it runs. The exit code is 1 when something has failed; warnings leave it at 0.`,
		Example: `  banyan doctor
  banyan doctor --json
  banyan doctor --dir /var/lib/banyan`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir != "" && config != "" {
				return usagef(cmd, "give --dir or --config, not both")
			}
			var found []doctor.Finding
			var err error
			switch {
			case dir != "":
				found, err = examineHere(cmd.Context(), filepath.Join(dir, configName))
			case config != "":
				found, err = examineHere(cmd.Context(), config)
			default:
				found, err = c.examineThere(cmd.Context())
			}
			if err != nil {
				return err
			}
			return c.printFindings(found)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory that banyan init made")
	cmd.Flags().StringVar(&config, "config", "", "configuration file of the node")
	return cmd
}

func examineHere(ctx context.Context, config string) ([]doctor.Finding, error) {
	file, err := server.LoadFile(config)
	if err != nil {
		return nil, err
	}
	return server.Examine(ctx, file), nil
}

// examineThere asks the node.
func (c *cli) examineThere(ctx context.Context) ([]doctor.Finding, error) {
	ctx, at, stop, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	answer, err := at.call(ctx, model.Address{Path: model.MustPath("/system"), Name: "doctor"}, named{})
	if err != nil {
		return nil, err
	}
	for _, r := range answer.GetResults() {
		if r.GetName() == "checks" {
			return findingsOf(valueJSON(r.GetType(), r.GetValue()))
		}
	}
	return nil, model.Errorf(model.KindUnsupported, "the node tells nothing about itself")
}

// findingsOf reads the table of a node: columns check, state, detail, remedy, and perhaps more of a newer version.
func findingsOf(raw []byte) ([]doctor.Finding, error) {
	value, err := model.DecodeJSON(model.TypeTable, raw)
	if err != nil {
		return nil, err
	}
	var found []doctor.Finding
	for _, row := range value.Table().Rows {
		if len(row) < 4 {
			return nil, model.Errorf(model.KindCorrupt, "the node's table has %d columns", len(row))
		}
		found = append(found, doctor.Finding{Check: row[0].Text(), State: doctor.State(row[1].Text()), Detail: row[2].Text(), Remedy: row[3].Text()})
	}
	return found, nil
}

type findingJSON struct {
	Check  string `json:"check"`
	State  string `json:"state"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

func (c *cli) printFindings(found []doctor.Finding) error {
	worst := doctor.Worst(found)
	if c.json {
		form := struct {
			State  string        `json:"state"`
			Checks []findingJSON `json:"checks"`
		}{State: string(worst), Checks: []findingJSON{}}
		for _, f := range found {
			form.Checks = append(form.Checks, findingJSON{f.Check, string(f.State), f.Detail, f.Remedy})
		}
		if err := c.printJSON(form); err != nil {
			return err
		}
	} else {
		t := &table{}
		for _, f := range found {
			detail := f.Detail
			if f.Remedy != "" {
				detail += ": " + f.Remedy
			}
			t.add(string(f.State), f.Check, detail)
		}
		if err := t.write(c.out); err != nil {
			return err
		}
	}
	if worst == doctor.Failed {
		return errNotInOrder
	}
	return nil
}
