package backup

import (
	"banyan/model"

	"go.yaml.in/yaml/v4"
)

// settle makes a configuration file that of a node whose data are in the folder that it lies in, and that listens where it is told. What else
// stands in it stays.
func settle(text []byte, api, links string) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Load(text, &document); err != nil {
		return nil, damaged("its configuration cannot be read")
	}
	root := &document
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	edits := map[*yaml.Node]string{}
	if data := field(root, "data"); data != nil {
		edits[data] = "."
	}
	listeners := field(root, "listeners")
	for name, address := range map[string]string{"api": api, "links": links} {
		if address == "" {
			continue
		}
		at := field(listeners, name)
		if at == nil {
			return nil, &model.Error{
				Kind: model.KindInvalid, Detail: "the node's configuration does not say where it listens for " + name,
				Remedy: "restore it without an address, and write listeners." + name + " into " + partConfig,
			}
		}
		edits[at] = address
	}
	for at, value := range edits {
		at.SetString(value)
		at.Style = yaml.DoubleQuotedStyle
	}
	changed, err := yaml.Dump(&document)
	if err != nil {
		return nil, damaged("its configuration cannot be changed")
	}
	return changed, nil
}

// field is the value of a key of a mapping, nil where there is none.
func field(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
