package server

import (
	"strings"
	"sync"

	"banyan/access"
	"banyan/follow"
	"banyan/model"
	"banyan/tree"
)

// mostViews bounds the views: each costs memory for every context of the tree.
const mostViews = 64

// follows shares views among those who follow the same with the same rights.
type follows struct {
	tree *tree.Tree

	mu    sync.Mutex // guards views and their users
	views map[string]*followedView
}

// followedView is a view that somebody follows.
type followedView struct {
	*follow.View
	key   string
	path  model.Path
	users int
}

// enter is the view of a person below a path, made where nobody has it yet.
func (f *follows) enter(p *policies, who access.Principal, path model.Path) (*followedView, error) {
	key, err := followKey(p, who, path)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.views[key]; v != nil {
		v.users++
		return v, nil
	}
	if len(f.views) >= mostViews {
		return nil, model.Errorf(model.KindExhausted, "%d different parts of the tree are followed, no more are allowed at once", mostViews)
	}
	rules, err := personRules(p, who)
	if err != nil {
		return nil, err
	}
	policy, err := access.NewPolicy(rules)
	if err != nil {
		return nil, err
	}
	if f.views == nil {
		f.views = map[string]*followedView{}
	}
	v := &followedView{View: follow.NewView(f.tree, model.Root, personal{key, path, policy, who.Scope}), key: key, path: path, users: 1}
	f.views[key] = v
	return v, nil
}

// leave says that somebody follows no more.
func (f *follows) leave(v *followedView) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v.users--; v.users == 0 && f.views[v.key] == v {
		delete(f.views, v.key)
	}
}

// followKey names what a person may see below a path: the same for all with the same rules in the same order, and the same scope.
func followKey(p *policies, who access.Principal, path model.Path) (string, error) {
	rules, err := personRules(p, who)
	if err != nil {
		return "", err
	}
	var key strings.Builder
	key.WriteString(path.String())
	write := func(rules []access.Rule) {
		for _, r := range rules {
			// What more than seeing a rule gives makes no difference.
			sees := "0"
			if r.Right >= model.RightView {
				sees = "1"
			}
			key.WriteString("\n" + sees + r.Pattern.String())
		}
	}
	write(rules)
	if who.Scope != nil {
		key.WriteString("\nwithin")
		write(who.Scope.Rules())
	}
	return key.String(), nil
}

func personRules(p *policies, who access.Principal) ([]access.Rule, error) {
	user, enabled := enabledUser(p.tree, who.Chain.Person.Name)
	if !enabled {
		return nil, model.Errorf(model.KindUnauthenticated, "who asks is no longer a user here")
	}
	return policyRules(p, &user)
}

// personal is what a person may see below a path.
type personal struct {
	key    string
	path   model.Path
	policy *access.Policy
	scope  *access.Scope
}

var _ follow.Naming = personal{}

// Key names the content.
func (s personal) Key() string { return s.key }

// Selects says whether a context is shown.
func (s personal) Selects(path model.Path, kind string) bool {
	return s.path.Contains(path) && s.Names(path, kind)
}

// Names says whether a context may be seen, wherever it is: a reference may lead out of what is followed.
func (s personal) Names(path model.Path, _ string) bool {
	right, _ := s.policy.Match(path)
	left, _ := s.scope.Match(path)
	return min(right, left) >= model.RightView
}

// Schema is shown as it is: values of secrets are in no tree.
func (s personal) Schema(schema *model.Schema) (*model.Schema, error) { return schema, nil }

func notFollowed(path model.Path) error { return access.NotFound("follow", model.Address{Path: path}) }
