package server

import (
	"regexp"
	"testing"

	"banyan/model"
)

var soundsSecret = regexp.MustCompile(`password|passphrase|secret|token|community|recovery|hash|_key$|^key$`)

// TestSecretsAreDeclared: what sounds like a secret is one, in every kind that the node has. A setting that is not secret is told to whoever may see the
// context, and a parameter that is not stands in the audit log.
func TestSecretsAreDeclared(t *testing.T) {
	n := startNode(t)
	open := map[string]bool{"node:audit_head": true, "token:tokens": true}
	for kind, k := range n.kinds {
		for _, s := range k.Schema.Settings {
			text := s.Type == model.TypeString || s.Type == model.TypeBytes
			if text && soundsSecret.MatchString(s.Name) && !s.Secret && !open[kind+":"+s.Name] {
				t.Errorf("setting %s of the kind %s is not secret", s.Name, kind)
			}
		}
		for _, f := range k.Schema.Functions {
			for _, fields := range [][]model.Field{f.Parameters, f.Results} {
				for _, field := range fields {
					text := field.Type == model.TypeString || field.Type == model.TypeBytes
					if text && soundsSecret.MatchString(field.Name) && !field.Secret {
						t.Errorf("%s of the function %s of the kind %s is not secret", field.Name, f.Name, kind)
					}
				}
			}
		}
	}
}
