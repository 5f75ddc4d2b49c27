package server

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"banyan/model"

	"go.yaml.in/yaml/v4"
)

// maxFileBytes bounds a configuration file.
const maxFileBytes = 64 << 10

// ParseFile reads a configuration. Unknown keys, keys given twice and values of another form are refused, with line and column.
func ParseFile(name string, raw []byte) (File, error) {
	var f File
	if len(raw) > maxFileBytes {
		return f, model.Errorf(model.KindInvalid, "%s: %d bytes, at most %d are allowed", name, len(raw), maxFileBytes)
	}
	var document yaml.Node
	if err := yaml.Load(raw, &document); err != nil {
		return f, model.Errorf(model.KindInvalid, "%s: %w", name, err)
	}
	root := &document
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	err := readFields(root, "the file", fields{
		"name": text(&f.Name), "data": text(&f.Data),
		"listeners": section("listeners", fields{"links": text(&f.Listeners.Links), "api": text(&f.Listeners.API)}),
		"api":       section("api", fields{"certificate": text(&f.API.Certificate), "key": text(&f.API.Key)}),
		"limits": section("limits", fields{
			"memory": size(&f.Ceilings.Memory), "contexts": count(&f.Ceilings.Contexts), "devices": count(&f.Ceilings.Devices),
			"connections": count(&f.Ceilings.Connections),
		}),
		"certificates": section("certificates", fields{"root": span(&f.Certificates.Root), "link": span(&f.Certificates.Link)}),
		"log":          section("log", fields{"level": text(&f.Log.Level), "format": text(&f.Log.Format)}),
	})
	if err == nil && f.Name == "" {
		err = at(root, "name is missing: what people call the node")
	}
	if err == nil && f.Data == "" {
		err = at(root, "data is missing: the node's directory")
	}
	if err == nil {
		err = f.validate()
	}
	if err != nil {
		return File{}, model.Errorf(model.KindInvalid, "%s:%w", name, err)
	}
	f.Source = string(raw)
	return f, nil
}

// fields says what may stand in a mapping, and what reads it.
type fields map[string]func(*yaml.Node) error

func at(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%d:%d: %s", n.Line, n.Column, fmt.Sprintf(format, args...))
}

func section(name string, inside fields) func(*yaml.Node) error {
	return func(n *yaml.Node) error { return readFields(n, name, inside) }
}

func text(to *string) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			return at(n, "a text is expected here")
		}
		*to = n.Value
		return nil
	}
}

func size(to *int64) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		bytes, err := parseSize(n.Value)
		if err != nil {
			return at(n, "%s", err)
		}
		*to = bytes
		return nil
	}
}

func span(to *time.Duration) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		d, err := time.ParseDuration(n.Value)
		if err != nil || n.Kind != yaml.ScalarNode || d <= 0 {
			return at(n, "a duration like 24h is expected here")
		}
		*to = d
		return nil
	}
}

func count(to *int) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		number, err := strconv.Atoi(n.Value)
		if err != nil || n.Kind != yaml.ScalarNode {
			return at(n, "a number is expected here")
		}
		*to = number
		return nil
	}
}

func readFields(n *yaml.Node, what string, known fields) error {
	if n.Kind != yaml.MappingNode {
		return at(n, "%s holds keys with values", what)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read := known[key.Value]
		if read == nil {
			return at(key, "%s has no key %q: there are %s", what, key.Value, known.names())
		}
		if seen[key.Value] {
			return at(key, "%q stands twice", key.Value)
		}
		seen[key.Value] = true
		if err := read(value); err != nil {
			return err
		}
	}
	return nil
}

func (f fields) names() string {
	var names []string
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
