package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/settings"
	"banyan/yamlfile"

	"github.com/spf13/cobra"
	protobuf "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// maxApplyBytes is the largest request that a node takes.
const maxApplyBytes = 4 << 20

// applyFlags are what diff and apply have in common.
type applyFlags struct {
	secrets string
	renew   bool
	prune   bool
	dryRun  bool
	keep    keeping
}

func (f *applyFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.secrets, "secrets", "", "a YAML `FILE` of secrets by name")
	cmd.Flags().BoolVar(&f.renew, "renew-secrets", false, "set secrets that are given also where one is set already")
	cmd.Flags().BoolVar(&f.prune, "prune", false, "remove what lies below the file's path and does not stand in it")
}

const filesHelp = `FILE is as "banyan export" writes it; - is standard input. A context that stands there is as it stands there: settings that
are not named have their defaults. {secret: NAME} takes NAME from --secrets FILE, or from the environment: users/alice/password
from BANYAN_SECRET_USERS_ALICE_PASSWORD; a secret that is set already is left as it is.`

func newDiff(c *cli) *cobra.Command {
	f := &applyFlags{}
	cmd := &cobra.Command{
		Use:   "diff FILE",
		Short: "Show what applying a settings file would change",
		Long: "Show what applying a settings file would change. It ends with 0 where that is nothing, 1 where it is something, 2 where it\n" +
			"cannot be told.\n\n" + filesHelp,
		Example: `  banyan diff site.yaml
  banyan diff site.yaml --prune --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, _, plan, stop, err := c.plan(cmd.Context(), args[0], f)
			if err != nil {
				return endedWith{2, err}
			}
			defer stop()
			if err := c.printPlan(plan); err != nil {
				return endedWith{2, err}
			}
			if !plan.Empty() {
				return endedWith{1, nil}
			}
			return nil
		},
	}
	f.register(cmd)
	return cmd
}

func newApply(c *cli) *cobra.Command {
	f := &applyFlags{}
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make a node be as a settings file says",
		Long: "Make a node be as a settings file says, and print what changes: all of what one node owns, or nothing. What somebody else\n" +
			"changed while the file was compared is not overwritten: then nothing is done, and the command says so.\n\n" + filesHelp,
		Example: `  banyan apply site.yaml --dry-run
  banyan apply site.yaml --secrets secrets.yaml
  banyan export /devices | banyan --profile other apply -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.keep.check(cmd); err != nil {
				return err
			}
			ctx, at, plan, stop, err := c.plan(cmd.Context(), args[0], f)
			if err != nil {
				return err
			}
			defer stop()
			return c.apply(cmd.Context(), ctx, at, plan, f)
		},
	}
	f.register(cmd)
	f.keep.register(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "have the node judge everything, and do nothing")
	return cmd
}

// plan reads a file and compares it with the node.
func (c *cli) plan(ctx context.Context, name string, f *applyFlags) (context.Context, *client, *settings.Plan, func(), error) {
	refuse := func(err error) (context.Context, *client, *settings.Plan, func(), error) {
		var problems yamlfile.Problems
		if errors.As(err, &problems) {
			err = &model.Error{Kind: model.KindInvalid, Detail: "the settings file", Err: problems}
		}
		return ctx, nil, nil, nil, err
	}
	source, err := c.readFile(name)
	if err != nil {
		return refuse(err)
	}
	file, err := settings.Read(name, source, beside(name))
	if err != nil {
		return refuse(err)
	}
	secret, err := c.secretsOf(f.secrets)
	if err != nil {
		return refuse(err)
	}
	ctx, at, stop, err := c.connect(ctx)
	if err != nil {
		return refuse(err)
	}
	state, err := at.state(ctx, file.Scope)
	if model.KindOf(err) == model.KindNotFound { // nothing is there yet: what is around it says who will own it
		state, err = at.state(ctx, model.Root)
	}
	var plan *settings.Plan
	if err == nil {
		plan, err = file.Plan(state, settings.Options{Secret: secret, RenewSecrets: f.renew, Prune: f.prune})
	}
	if err != nil {
		stop()
		return refuse(err)
	}
	return ctx, at, plan, stop, nil
}

// readFile reads a settings file, or standard input.
func (c *cli) readFile(name string) ([]byte, error) {
	from := c.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, &model.Error{Kind: model.KindNotFound, Err: err, Remedy: "name a settings file; `banyan export` writes one"}
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	return io.ReadAll(io.LimitReader(from, settings.MaxFileBytes+1))
}

// beside opens files by their names relative to another one.
func beside(name string) settings.Open {
	return func(other string) ([]byte, error) {
		if !filepath.IsAbs(other) {
			other = filepath.Join(filepath.Dir(name), other)
		}
		file, err := os.Open(other)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		return io.ReadAll(io.LimitReader(file, settings.MaxFileBytes+1))
	}
}

// secretsOf finds secrets in a file and in the environment; what is in the file comes first.
func (c *cli) secretsOf(name string) (func(string) (string, bool), error) {
	found := map[string]string{}
	if name != "" {
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, &model.Error{Kind: model.KindNotFound, Err: err, Remedy: "name a YAML file of secrets by name"}
		}
		if found, err = settings.ReadSecrets(name, source, beside(name)); err != nil {
			return nil, err
		}
	}
	return func(name string) (string, bool) {
		if value, known := found[name]; known {
			return value, true
		}
		return os.LookupEnv(settings.Variable(name))
	}, nil
}

// apply has the node do what was planned. What is kept for a node that is away is not tried at it first; forever is for waiting.
func (c *cli) apply(forever, ctx context.Context, at *client, plan *settings.Plan, f *applyFlags) error { //nolint:revive // one of them has no deadline
	dryRun := f.dryRun
	for i := range plan.Batches { // what one node refuses is not done at another either
		if !dryRun && (len(plan.Batches) == 1 || f.keep.until != "") {
			break
		}
		if _, err := at.applyBatch(ctx, &plan.Batches[i], true, ""); err != nil {
			return err
		}
	}
	if dryRun || plan.Empty() {
		return c.printPlan(plan)
	}
	var kept error
	for i := range plan.Batches {
		b := &plan.Batches[i]
		done, err := at.applyBatch(ctx, b, false, f.keep.until)
		if err != nil {
			if i > 0 {
				c.note("What the nodes before it own is done; apply the file again once this is settled.")
			}
			return err
		}
		if i == 0 {
			if err := c.printLines(plan.Heading()); err != nil {
				return err
			}
		}
		if err := c.printBatch(b); err != nil {
			return err
		}
		finished, err := c.settled(forever, at, &f.keep, done.GetRequest())
		var left endedWith
		switch {
		case errors.As(err, &left) && left.code == exitKept:
			kept = err // what other nodes own is done all the same
			continue
		case err != nil:
			return err
		case !finished:
			continue
		}
		what := fmt.Sprintf("%d done", len(b.Edits))
		if err := c.printDone(what, doneJSON{Revision: done.GetRevision(), Mirrored: done.GetMirrored(), Via: done.GetVia()}); err != nil {
			return err
		}
	}
	return kept
}

// applyBatch asks for the edits of one node. What is refused is told with the places in the file.
func (at *client) applyBatch(ctx context.Context, b *settings.Batch, dryRun bool, until string) (*apiv1.ApplyResponse, error) {
	request := &apiv1.ApplyRequest{DryRun: dryRun, Until: until}
	for _, e := range b.Edits {
		wire, err := editOf(e)
		if err != nil {
			return nil, err
		}
		request.Edits = append(request.Edits, wire)
	}
	if size := protobuf.Size(request); size > maxApplyBytes {
		return nil, &model.Error{
			Kind: model.KindExhausted, Op: "apply", Detail: fmt.Sprintf("%d changes of %d bytes at once, a node takes %d bytes", len(b.Edits), size, maxApplyBytes),
			Remedy: "split the file, and give each part a path of its own",
		}
	}
	done, err := ask(ctx, at, "apply", model.Address{}, at.trees.Apply, request)
	var refused *model.Error
	if errors.As(err, &refused) && refused.Edit > 0 {
		return nil, refusedEdits(b, refused)
	}
	return done, err
}

func editOf(e *settings.Edit) (*apiv1.Edit, error) {
	wire := &apiv1.Edit{Path: e.Path.String()}
	if !e.Expected.IsZero() {
		wire.Expected = e.Expected.String()
	}
	values := map[string]*structpb.Value{}
	for _, a := range e.Settings {
		values[a.Name] = structpb.NewNullValue()
		if !a.Value.IsNone() {
			value, err := parseJSON(string(a.Value.JSON()))
			if err != nil {
				return nil, model.Errorf(model.KindInvalid, "setting %s of %s cannot be sent", a.Name, e.Path)
			}
			values[a.Name] = value
		}
	}
	switch e.Op {
	case settings.Create:
		create := &apiv1.CreateEdit{Kind: e.Kind, Settings: values}
		if e.Label != nil {
			create.Label = *e.Label
		}
		wire.Operation = &apiv1.Edit_Create{Create: create}
	case settings.Change:
		wire.Operation = &apiv1.Edit_Change{Change: &apiv1.ChangeEdit{Settings: values, Label: e.Label}}
	case settings.Remove:
		wire.Operation = &apiv1.Edit_Remove{Remove: &apiv1.RemoveEdit{}}
	}
	return wire, nil
}

// refusedEdits are a node's refusals, one a line, each with the place in the file that it is about.
func refusedEdits(b *settings.Batch, refused *model.Error) error {
	all := append([]*model.Error{refused}, refused.Also...)
	told := refusals{kind: refused.Kind}
	for _, e := range all {
		line := *e
		line.Edit, line.Also = 0, nil
		text := errorText(&line)
		if e.Edit >= 1 && e.Edit <= len(b.Edits) {
			if at, stands := b.Edits[e.Edit-1].Place(e.Name); stands {
				text = fmt.Sprintf("%s:%d:%d: %s", at.File, at.Line, at.Column, text)
			}
		}
		told.lines = append(told.lines, text)
	}
	return told
}

// refusals are why a batch was not done.
type refusals struct {
	kind  model.ErrorKind
	lines []string
}

func (r refusals) Error() string { return strings.Join(r.lines, "\n") }

// Unwrap gives it its kind.
func (r refusals) Unwrap() error { return &model.Error{Kind: r.kind} }
