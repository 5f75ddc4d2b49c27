package main

import (
	"os"
	"slices"

	"banyan/settings"

	"golang.org/x/term"
	"google.golang.org/protobuf/types/known/structpb"
)

// printPlan prints what changes.
func (c *cli) printPlan(plan *settings.Plan) error {
	if plan.Empty() {
		c.note("Nothing differs.")
		return nil
	}
	if err := c.printLines(plan.Heading()); err != nil {
		return err
	}
	for i := range plan.Batches {
		if err := c.printBatch(&plan.Batches[i]); err != nil {
			return err
		}
	}
	return nil
}

// printBatch prints what a batch changes: in JSON an object for each context.
func (c *cli) printBatch(b *settings.Batch) error {
	if !c.json {
		return c.printLines(b.Lines())
	}
	for _, e := range b.Edits {
		if err := c.printJSON(editJSON(e)); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) printLines(lines []settings.Line) error {
	if c.json {
		return nil
	}
	colours := c.colours()
	for _, line := range lines {
		text := clean(line.Text)
		if line.Sign != ' ' && line.Sign != '@' {
			text = string(line.Sign) + text
		}
		if colour := colours[line.Sign]; colour != "" {
			text = colour + text + "\x1b[0m"
		}
		if err := c.printf("%s\n", text); err != nil {
			return err
		}
	}
	return nil
}

// colours are for a person at a terminal who did not forbid them.
func (c *cli) colours() map[rune]string {
	file, is := c.out.(*os.File)
	if !is || !term.IsTerminal(int(file.Fd())) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return map[rune]string{'-': "\x1b[31m", '+': "\x1b[32m", '@': "\x1b[36m"}
}

// editForm is an edit in JSON: settings by name as they will be, null for the default, and of secrets only the names.
type editForm struct {
	Op       string                     `json:"op"`
	Path     string                     `json:"path"`
	Kind     string                     `json:"kind,omitempty"`
	Label    *string                    `json:"label,omitempty"`
	Settings map[string]*structpb.Value `json:"settings,omitempty"`
	Secrets  []string                   `json:"secrets,omitempty"`
	At       string                     `json:"at,omitempty"`
}

func editJSON(e *settings.Edit) editForm {
	form := editForm{Op: e.Op.String(), Path: e.Path.String(), Kind: e.Kind, Label: e.Label, Settings: map[string]*structpb.Value{}, Secrets: e.Secrets, At: e.Owner}
	for _, a := range e.Settings {
		if slices.Contains(e.Secrets, a.Name) {
			continue
		}
		form.Settings[a.Name] = structpb.NewNullValue()
		if value, err := parseJSON(string(a.Value.JSON())); err == nil {
			form.Settings[a.Name] = value
		}
	}
	return form
}
