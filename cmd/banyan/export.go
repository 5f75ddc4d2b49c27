package main

import (
	"context"
	"encoding/json"
	"strings"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/settings"

	"github.com/spf13/cobra"
)

func newExport(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "export [PATH]",
		Short: "Write the settings of everything below a path as a file",
		Long: `Write the settings of everything at and below a path as a YAML file, of one moment: what differs from its default,
as far as you may see it. Secrets are written as {secret: NAME}; what was found by devices, what is mounted from
other nodes, links and tokens are left out, and counted at the top of the file.`,
		Example: `  banyan export > site.yaml
  banyan export /devices > devices.yaml`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.completePath,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := parsePath(cmd, args)
			if err != nil {
				return err
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			state, err := at.state(ctx, path)
			if err != nil {
				return err
			}
			_, err = c.out.Write(settings.Write(state, path))
			return err
		},
	}
}

// state asks for everything at and below a path.
func (at *client) state(ctx context.Context, path model.Path) (*settings.State, error) {
	// A stream cannot be sent twice, so that the session is tried with a request before.
	if _, err := ask(ctx, at, "export", model.Address{Path: path}, at.session.Who, &apiv1.WhoRequest{}); err != nil {
		return nil, err
	}
	stream, err := at.trees.Export(at.prove(ctx), &apiv1.ExportRequest{Path: path.String()})
	if err != nil {
		return nil, at.failure(ctx, "export", model.Address{Path: path}, err)
	}
	defer func() { _ = stream.Close() }()
	r := stateReader{state: &settings.State{Kinds: map[string]*settings.Kind{}, Contexts: map[model.Path]*settings.Context{}}, kinds: map[uint32]*settings.Kind{}}
	complete := false
	for stream.Receive() {
		part := stream.Msg()
		if err := r.read(part); err != nil {
			return nil, err
		}
		complete = part.GetComplete()
	}
	if err := stream.Err(); err != nil {
		return nil, at.failure(ctx, "export", model.Address{Path: path}, err)
	}
	if !complete {
		return nil, &model.Error{Kind: model.KindUnavailable, Op: "export", Path: path, Detail: "the node ended the answer before it was complete", Remedy: "try again"}
	}
	return r.state, nil
}

// stateReader puts the parts of an export together.
type stateReader struct {
	state *settings.State
	kinds map[uint32]*settings.Kind
}

func (r *stateReader) read(part *apiv1.ExportResponse) error {
	for _, k := range part.GetKinds() {
		kind, err := kindOfExport(k)
		if err != nil {
			return err
		}
		r.kinds[k.GetKey()] = kind
		if _, known := r.state.Kinds[kind.Name]; !known { // the node's own come first
			r.state.Kinds[kind.Name] = kind
		}
	}
	for _, c := range part.GetContexts() {
		made, err := r.context(c)
		if err != nil {
			return err
		}
		r.state.Contexts[made.Path] = made
	}
	r.state.Node, r.state.Change = part.GetNode(), part.GetChange()
	return nil
}

func kindOfExport(k *apiv1.ExportKind) (*settings.Kind, error) {
	kind := &settings.Kind{Name: k.GetName(), Creatable: k.GetCreatable(), Whole: k.GetWhole()}
	for _, s := range k.GetSettings() {
		t, err := model.ParseType(s.GetType())
		if err != nil {
			return nil, err
		}
		setting := settings.Setting{Name: s.GetName(), Type: t, Secret: s.GetSecret()}
		if s.GetDefault() != nil {
			if setting.Default, err = typedValue(t, s.GetDefault()); err != nil {
				return nil, err
			}
		}
		kind.Settings = append(kind.Settings, setting)
	}
	return kind, nil
}

func (r *stateReader) context(c *apiv1.ExportContext) (*settings.Context, error) {
	path, err := model.ParsePath(c.GetPath())
	if err != nil {
		return nil, err
	}
	revision, err := model.ParsePosition(c.GetRevision())
	if err != nil {
		return nil, err
	}
	kind := r.kinds[c.GetKind()]
	if kind == nil {
		return nil, model.Errorf(model.KindCorrupt, "the node told of %s before its kind", path)
	}
	made := &settings.Context{
		Path: path, Kind: kind, Label: c.GetLabel(), Usual: c.GetUsualLabel(), Revision: revision, Owner: strings.Join(c.GetVia(), " > "),
		Values: map[string]model.Value{}, Secrets: map[string]bool{}, Fixed: c.GetFixed(), Found: c.GetFound(),
	}
	for _, name := range c.GetSecrets() {
		made.Secrets[name] = true
	}
	for i := range kind.Settings {
		s := &kind.Settings[i]
		value, set := c.GetSettings()[s.Name]
		if !set {
			continue
		}
		if made.Values[s.Name], err = typedValue(s.Type, value); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// typedValue is a value in its JSON form as the API carries it.
func typedValue(t model.Type, value interface{ MarshalJSON() ([]byte, error) }) (model.Value, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return model.Value{}, err
	}
	return model.DecodeJSON(t, raw)
}
