package access

import (
	"slices"

	"banyan/model"
)

// Scope narrows what a person may do who asks in a certain way, by a token of a program: it is a list of rules like a person's own, and what is done
// must be allowed by both. It never gives anything.
type Scope struct {
	Name   string // for refusals: "token backup"
	rules  []Rule
	policy *Policy
}

// NewScope makes a scope. Without rules it allows nothing.
func NewScope(name string, rules []Rule) (*Scope, error) {
	policy, err := NewPolicy(rules)
	if err != nil {
		return nil, err
	}
	return &Scope{name, slices.Clone(rules), policy}, nil
}

// Rules are those of the scope, none of no scope.
func (s *Scope) Rules() []Rule {
	if s == nil {
		return nil
	}
	return slices.Clone(s.rules)
}

// Match is the right that the scope leaves at a path, and by which of its rules; everything where there is no scope.
func (s *Scope) Match(path model.Path) (right model.Right, rule int) {
	if s == nil {
		return model.RightAdminister, 0
	}
	return s.policy.Match(path)
}

func (s *Scope) mayMatchBelow(path model.Path) bool {
	return s == nil || s.policy.MayMatchBelow(path, model.RightView)
}

func (s *Scope) least(pattern model.Pattern) model.Right {
	if s == nil {
		return model.RightAdminister
	}
	return s.policy.least(pattern)
}
