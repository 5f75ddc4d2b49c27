package settings

import (
	"strings"

	"banyan/model"
	"banyan/yamlfile"

	"go.yaml.in/yaml/v4"
)

// maxSecretBytes bounds what is read from a file as one secret.
const maxSecretBytes = 64 << 10

// Variable is the environment variable in which a secret can be given: BANYAN_SECRET_USERS_ALICE_PASSWORD for users/alice/password.
func Variable(name string) string {
	return "BANYAN_SECRET_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}

// ReadSecrets reads a YAML file of secrets by name: users/alice/password: TEXT, or nested, users: {alice: {password: TEXT}}. In place of the text
// {file: PATH} reads it from a file, without the end of its last line. No error repeats what stands there.
func ReadSecrets(name string, source []byte, open Open) (map[string]string, error) {
	r := &secretReader{found: map[string]string{}, file: name, open: open}
	r.problems = newProblems(&yamlfile.Reader{File: name})
	var document yaml.Node
	if err := yaml.Load(source, &document); err != nil || len(source) > MaxFileBytes {
		r.problems.add(place{name, yamlfile.Start}, "check quotes, brackets and indentation; `yamllint` names the line", "this is not YAML")
		return nil, r.problems.err()
	}
	if document.Kind == yaml.DocumentNode && len(document.Content) == 1 {
		r.names(document.Content[0], "", 0)
	}
	return r.found, r.problems.err()
}

type secretReader struct {
	found    map[string]string
	file     string
	open     Open
	problems *problems
}

func (r *secretReader) names(n *yaml.Node, prefix string, depth int) {
	at := place{r.file, yamlfile.MarkOf(n)}
	if n.Kind != yaml.MappingNode || depth > model.MaxPathDepth {
		r.problems.add(at, "write NAME: TEXT", "secrets are names with values")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := strings.Trim(prefix+n.Content[i].Value, "/"), n.Content[i+1]
		switch {
		case value.Kind == yaml.ScalarNode && value.Tag != "!!null":
			r.found[name] = value.Value
		case value.Kind == yaml.MappingNode && len(value.Content) == 2 && value.Content[0].Value == "file":
			r.fromFile(name, value.Content[1])
		case value.Kind == yaml.MappingNode:
			r.names(value, name+"/", depth+1)
		default:
			r.problems.add(place{r.file, yamlfile.MarkOf(value)}, "write NAME: TEXT, or NAME: {file: PATH}", "the secret %s is no text", name)
		}
	}
}

func (r *secretReader) fromFile(name string, n *yaml.Node) {
	raw, err := r.open(n.Value)
	switch {
	case err != nil:
		r.problems.add(place{r.file, yamlfile.MarkOf(n)}, "name a file that can be read", "the secret %s: %v", name, err)
	case len(raw) > maxSecretBytes:
		r.problems.add(place{r.file, yamlfile.MarkOf(n)}, "name the file that holds the secret alone", "the secret %s has %d bytes, at most %d are read", name, len(raw), maxSecretBytes)
	default:
		r.found[name] = strings.TrimRight(string(raw), "\r\n")
	}
}
