package topologies

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits of a file: what aliases can unfold into is counted as it is read.
const (
	maxFileBytes = 1 << 20
	maxEntries   = 200_000
	maxAliases   = 16 // through each other
)

// entry is a key of a mapping with its value.
type entry struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// reader reads YAML by its nodes, since those know where they stand.
type reader struct {
	report
	entries int
}

// document is the file's outermost mapping, or nil when there is none.
func (r *reader) document(source []byte) *yaml.Node {
	var document yaml.Node
	err := yaml.Load(source, &document)
	if err == nil && document.Kind == yaml.DocumentNode && len(document.Content) == 1 {
		return document.Content[0]
	}
	var one *yaml.LoadError
	switch {
	case errors.As(err, &one) && one.Mark.Line > 0:
		r.add(mark{one.Mark.Line, max(one.Mark.Column, 1)}, yamlRemedy(one.Message), "this is not YAML: %s", one.Message)
	case err != nil && strings.Contains(err.Error(), "multiple"):
		r.add(mark{1, 1}, "keep one network in a file, and no --- between its parts", "the file holds several documents")
	case err != nil && strings.Contains(err.Error(), "UTF-8"):
		line := 1 + strings.Count(string(source[:firstInvalid(source)]), "\n")
		r.add(mark{line, 1}, "save the file as UTF-8", "this line is not UTF-8 text")
	default:
		r.add(mark{1, 1}, "begin with `network: NAME` and `nodes:`; topologies/three-tier.yaml is an example", "the file is empty")
	}
	return nil
}

// firstInvalid is where the first byte stands that is not UTF-8, or the end.
func firstInvalid(source []byte) int {
	for i := 0; i < len(source); {
		c, size := utf8.DecodeRune(source[i:])
		if c == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(source)
}

func yamlRemedy(message string) string {
	switch {
	case strings.Contains(message, "cannot start any token"):
		return "indent with spaces, not with tabs, and put text that begins with @ or ` in quotes"
	case strings.Contains(message, "unknown anchor"):
		return "an alias *name needs an &name above it; put text that begins with * in quotes"
	case strings.Contains(message, "expected ','"), strings.Contains(message, "expected ',' or"):
		return "close what was opened with [ or {"
	case strings.Contains(message, "mapping values"):
		return "check the indentation, and put text that holds `: ` in quotes"
	}
	return "check quotes, brackets and indentation here and on the line above"
}

// resolve follows aliases. One that leads into itself is a problem and nothing.
func (r *reader) resolve(n *yaml.Node) *yaml.Node {
	start := n
	for range maxAliases {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	r.add(markOf(start), "write it out", "the alias *%s leads to too many others", start.Value)
	return nil
}

// mapping lists the entries of a mapping in the order of the file; those that a merge key (<<) brings come where it stands, unless the mapping
// has them itself. What the mapping is, is named for people.
func (r *reader) mapping(n *yaml.Node, what string) ([]entry, bool) {
	return r.merged(n, what, 0)
}

func (r *reader) merged(n *yaml.Node, what string, depth int) ([]entry, bool) {
	at := markOf(n)
	if n = r.resolve(n); n == nil || r.entries > maxEntries {
		return nil, false
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil, true
	}
	if n.Kind != yaml.MappingNode {
		r.add(at, "write it as `key: value` lines or as {key: value}", "%s holds keys with values, not %s", what, form(n))
		return nil, false
	}
	if depth > maxAliases {
		r.add(at, "write it out", "merge keys lead into each other")
		return nil, false
	}
	own := map[string]mark{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; key.Tag != "!!merge" {
			if first, twice := own[key.Value]; twice && key.Kind == yaml.ScalarNode {
				r.add(markOf(key), "remove one of them", "%q stands twice in %s; the first is on %s", key.Value, what, first)
				continue
			}
			own[key.Value] = markOf(key)
		}
	}
	var entries []entry
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		r.entries++
		switch {
		case r.entries > maxEntries:
			r.add(at, "say it with fewer aliases", "the file unfolds into more than %d entries", maxEntries)
			return nil, false
		case key.Tag == "!!merge":
			for _, brought := range r.broughtBy(value, depth) {
				if _, has := own[brought.name]; !has && !seen[brought.name] {
					seen[brought.name] = true
					entries = append(entries, brought)
				}
			}
		case key.Kind != yaml.ScalarNode:
			r.add(markOf(key), "use a plain word as the key", "%s has a key that is %s", what, form(key))
		case !seen[key.Value]:
			seen[key.Value] = true
			entries = append(entries, entry{name: key.Value, key: key, value: value})
		}
	}
	return entries, true
}

// broughtBy lists what a merge key brings: one mapping, or several of which the earlier win.
func (r *reader) broughtBy(value *yaml.Node, depth int) []entry {
	sources := []*yaml.Node{value}
	if list := r.resolve(value); list != nil && list.Kind == yaml.SequenceNode {
		sources = list.Content
	}
	var entries []entry
	for _, source := range sources {
		brought, _ := r.merged(source, "what is merged", depth+1)
		entries = append(entries, brought...)
	}
	return entries
}

// fields is a mapping whose keys are known: read is called for each.
func (r *reader) fields(n *yaml.Node, what string, known []string, read func(entry)) bool {
	entries, ok := r.mapping(n, what)
	for _, e := range entries {
		if !contains(known, e.name) {
			r.add(markOf(e.key), keyRemedy(e.name, known), "%s has no key %q", what, e.name)
			ok = false
			continue
		}
		read(e)
	}
	return ok
}

func keyRemedy(name string, known []string) string {
	if strings.Contains(strings.ToLower(name), "password") {
		return "passwords are drawn by `up` and kept in DIR/secrets; remove it"
	}
	return didYouMean(name, known)
}

func contains(list []string, one string) bool {
	for _, other := range list {
		if other == one {
			return true
		}
	}
	return false
}

// list is the elements of a sequence; a single scalar counts as a sequence of one.
func (r *reader) list(n *yaml.Node, what string) ([]*yaml.Node, bool) {
	at := markOf(n)
	if n = r.resolve(n); n == nil {
		return nil, false
	}
	r.entries += len(n.Content)
	switch {
	case r.entries > maxEntries:
		r.add(at, "say it with fewer aliases", "the file unfolds into more than %d entries", maxEntries)
		return nil, false
	case n.Kind == yaml.SequenceNode:
		return n.Content, true
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil, true
	case n.Kind == yaml.ScalarNode:
		return []*yaml.Node{n}, true
	}
	r.add(at, "write it as lines that begin with - or as [one, two]", "%s is a list, not %s", what, form(n))
	return nil, false
}

// text is a scalar.
func (r *reader) text(n *yaml.Node, what string) (string, bool) {
	at := markOf(n)
	if n = r.resolve(n); n == nil {
		return "", false
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.add(at, "give one value, or leave the key out", "%s is one value, not %s", what, form(n))
		return "", false
	}
	return n.Value, true
}

// truth is true or false.
func (r *reader) truth(n *yaml.Node, what string) bool {
	text, ok := r.text(n, what)
	if ok && text != "true" && text != "false" {
		r.add(markOf(n), "write true or false", "%s is %q", what, text)
	}
	return text == "true"
}

func form(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	}
	const most = 40
	return fmt.Sprintf("%.*q", most, n.Value)
}
