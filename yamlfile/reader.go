package yamlfile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits of a file: what aliases can unfold into is counted as it is read.
const (
	DefaultMaxBytes = 1 << 20
	maxEntries      = 200_000
	maxAliases      = 16 // through each other
	maxProblems     = 200
)

// Entry is a key of a mapping with its value.
type Entry struct {
	Name  string
	Key   *yaml.Node
	Value *yaml.Node
}

// Reader reads YAML by its nodes, since those know where they stand, and collects what is wrong. One reader reads one file.
type Reader struct {
	// File is its name in problems.
	File string
	// What is the one thing that a file holds, "network"; Begin says how such a file begins, for who gives an empty one.
	What, Begin string
	// MaxBytes is the longest file that is read, DefaultMaxBytes where it is 0.
	MaxBytes int
	// KeyRemedy may know more about an unknown key than which ones it resembles; "" where it does not. May be nil.
	KeyRemedy func(name string) string

	problems Problems
	entries  int
}

// Document is the file's outermost node, or nil when there is none, which is then a problem.
func (r *Reader) Document(source []byte) *yaml.Node {
	if most := cmp.Or(r.MaxBytes, DefaultMaxBytes); len(source) > most {
		r.Add(Start, "split the "+r.What+" into several files", "the file has %d bytes, at most %d are read", len(source), most)
		return nil
	}
	var document yaml.Node
	err := yaml.Load(source, &document)
	if err == nil && document.Kind == yaml.DocumentNode && len(document.Content) == 1 {
		return document.Content[0]
	}
	var one *yaml.LoadError
	switch {
	case errors.As(err, &one) && one.Mark.Line > 0:
		r.Add(Mark{one.Mark.Line, max(one.Mark.Column, 1)}, yamlRemedy(one.Message), "this is not YAML: %s", one.Message)
	case err != nil && strings.Contains(err.Error(), "multiple"):
		r.Add(Mark{1, 1}, "keep one "+r.What+" in a file, and no --- between its parts", "the file holds several documents")
	case err != nil && strings.Contains(err.Error(), "UTF-8"):
		line := 1 + strings.Count(string(source[:firstInvalid(source)]), "\n")
		r.Add(Mark{line, 1}, "save the file as UTF-8", "this line is not UTF-8 text")
	default:
		r.Add(Mark{1, 1}, r.Begin, "the file is empty")
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
		return "close what was opened with [ or {, and put text that holds { or } in quotes"
	case strings.Contains(message, "mapping values"):
		return "check the indentation, and put text that holds `: ` in quotes"
	}
	return "check quotes, brackets and indentation here and on the line above"
}

// Resolve follows aliases. One that leads into itself is a problem and nothing.
func (r *Reader) Resolve(n *yaml.Node) *yaml.Node {
	start := n
	for range maxAliases {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	r.Add(MarkOf(start), "write it out", "the alias *%s leads to too many others", start.Value)
	return nil
}

// Mapping lists the entries of a mapping in the order of the file; those that a merge key (<<) brings come where it stands, unless the mapping
// has them itself. What the mapping is, is named for people.
func (r *Reader) Mapping(n *yaml.Node, what string) ([]Entry, bool) {
	return r.merged(n, what, 0)
}

func (r *Reader) merged(n *yaml.Node, what string, depth int) ([]Entry, bool) {
	at := MarkOf(n)
	if n = r.Resolve(n); n == nil || r.entries > maxEntries {
		return nil, false
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil, true
	}
	if n.Kind != yaml.MappingNode {
		r.Add(at, "write it as `key: value` lines or as {key: value}", "%s holds keys with values, not %s", what, Form(n))
		return nil, false
	}
	if depth > maxAliases {
		r.Add(at, "write it out", "merge keys lead into each other")
		return nil, false
	}
	own := map[string]Mark{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; key.Tag != "!!merge" {
			if first, twice := own[key.Value]; twice && key.Kind == yaml.ScalarNode {
				r.Add(MarkOf(key), "remove one of them", "%q stands twice in %s; the first is on %s", key.Value, what, first)
				continue
			}
			own[key.Value] = MarkOf(key)
		}
	}
	var entries []Entry
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		r.entries++
		switch {
		case r.entries > maxEntries:
			r.Add(at, "say it with fewer aliases", "the file unfolds into more than %d entries", maxEntries)
			return nil, false
		case key.Tag == "!!merge":
			for _, brought := range r.broughtBy(value, depth) {
				if _, has := own[brought.Name]; !has && !seen[brought.Name] {
					seen[brought.Name] = true
					entries = append(entries, brought)
				}
			}
		case key.Kind != yaml.ScalarNode:
			r.Add(MarkOf(key), "use a plain word as the key", "%s has a key that is %s", what, Form(key))
		case !seen[key.Value]:
			seen[key.Value] = true
			entries = append(entries, Entry{Name: key.Value, Key: key, Value: value})
		}
	}
	return entries, true
}

// broughtBy lists what a merge key brings: one mapping, or several of which the earlier win.
func (r *Reader) broughtBy(value *yaml.Node, depth int) []Entry {
	sources := []*yaml.Node{value}
	if list := r.Resolve(value); list != nil && list.Kind == yaml.SequenceNode {
		sources = list.Content
	}
	var entries []Entry
	for _, source := range sources {
		brought, _ := r.merged(source, "what is merged", depth+1)
		entries = append(entries, brought...)
	}
	return entries
}

// Fields is a mapping whose keys are known: read is called for each.
func (r *Reader) Fields(n *yaml.Node, what string, known []string, read func(Entry)) bool {
	entries, ok := r.Mapping(n, what)
	for _, e := range entries {
		if !slices.Contains(known, e.Name) {
			r.Add(MarkOf(e.Key), r.keyRemedy(e.Name, known), "%s has no key %q", what, e.Name)
			ok = false
			continue
		}
		read(e)
	}
	return ok
}

func (r *Reader) keyRemedy(name string, known []string) string {
	if r.KeyRemedy != nil {
		if remedy := r.KeyRemedy(name); remedy != "" {
			return remedy
		}
	}
	return DidYouMean(name, known)
}

// List is the elements of a sequence; a single scalar counts as a sequence of one.
func (r *Reader) List(n *yaml.Node, what string) ([]*yaml.Node, bool) {
	at := MarkOf(n)
	if n = r.Resolve(n); n == nil {
		return nil, false
	}
	r.entries += len(n.Content)
	switch {
	case r.entries > maxEntries:
		r.Add(at, "say it with fewer aliases", "the file unfolds into more than %d entries", maxEntries)
		return nil, false
	case n.Kind == yaml.SequenceNode:
		return n.Content, true
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil, true
	case n.Kind == yaml.ScalarNode:
		return []*yaml.Node{n}, true
	}
	r.Add(at, "write it as lines that begin with - or as [one, two]", "%s is a list, not %s", what, Form(n))
	return nil, false
}

// Text is a scalar.
func (r *Reader) Text(n *yaml.Node, what string) (string, bool) {
	at := MarkOf(n)
	if n = r.Resolve(n); n == nil {
		return "", false
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.Add(at, "give one value, or leave the key out", "%s is one value, not %s", what, Form(n))
		return "", false
	}
	return n.Value, true
}

// Truth is true or false.
func (r *Reader) Truth(n *yaml.Node, what string) bool {
	text, ok := r.Text(n, what)
	if ok && text != "true" && text != "false" {
		r.Add(MarkOf(n), "write true or false", "%s is %q", what, text)
	}
	return text == "true"
}

// Form says what a node is, in words.
func Form(n *yaml.Node) string {
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
