package server

import (
	"sync"
	"sync/atomic"

	"banyan/access"
	"banyan/model"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// policies keeps the decider true to the users, roles and grants that the tree holds. It is made anew when it is next asked for after one of
// them changed, so that whoever saw a change done is judged by it.
type policies struct {
	node   string
	tree   *tree.Tree
	grants func() map[string]*access.Grant
	heard  func() // tells everybody who acts by the tree, this included, what it shows by now
	log    hclog.Logger

	wanted  atomic.Uint64 // counts changes
	current atomic.Pointer[madeDecider]
	mu      sync.Mutex // one at a time makes it anew
}

// madeDecider is a decider that knows of so many changes. The two stand together, since a decider may count as the current one only once it is in
// place: with a mark beside it, one caller would take the mark away and the next would still be judged by the old one.
type madeDecider struct {
	*access.Decider
	changes uint64
}

// Changed says that users, roles or grants are no longer what they were.
func (p *policies) Changed() { p.wanted.Add(1) }

// Decider is the decider of now.
func (p *policies) Decider() *access.Decider {
	if made := p.current.Load(); made != nil && made.changes == p.wanted.Load() {
		return made.Decider
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	changes := p.wanted.Load()
	if made := p.current.Load(); made != nil && made.changes == changes {
		return made.Decider
	}
	decider := p.deciderOf(p.read())
	p.current.Store(&madeDecider{decider, changes})
	return decider
}

func (p *policies) deciderOf(cfg access.Config) *access.Decider {
	decider, err := access.New(cfg)
	if err != nil {
		// A part that cannot be used must not open anything, nor keep alive what was taken away.
		p.log.Error("rights cannot be worked out, nobody has any", "error", err)
		decider, _ = access.New(access.Config{Node: p.node})
	}
	return decider
}

// read collects who may do what. Somebody whose rules cannot be used has none.
func (p *policies) read() access.Config {
	cfg := access.Config{Node: p.node, People: map[string]*access.Policy{}, Foreign: map[access.Person]*access.Policy{}, Grants: p.grants()}
	roles := p.roles(p.tree)
	for _, c := range directlyBelow(p.tree, usersPath) {
		if c.Schema.Kind == KindUser && c.SettingNamed(settingEnabled).Bool() {
			p.addPerson(&cfg, &c, roles)
		}
	}
	p.readForeign(p.tree, &cfg)
	return cfg
}

func (p *policies) addPerson(cfg *access.Config, c *tree.Context, roles map[string][]access.Rule) {
	policy, err := policyOf(c, roles)
	if err != nil {
		p.log.Error("a user's rules cannot be used", "user", c.Path, "error", err)
		policy, _ = access.NewPolicy(nil)
	}
	cfg.People[c.Path.Base()] = policy
}

// readForeign collects what is said about people of other nodes.
func (p *policies) readForeign(of View, cfg *access.Config) {
	for _, c := range directlyBelow(of, usersPath) {
		if c.Schema.Kind != KindForeign {
			continue
		}
		person, err := access.ParsePerson(c.SettingNamed(settingPerson).Text())
		if err != nil {
			p.log.Error("a foreign user cannot be used", "user", c.Path, "error", err)
			continue
		}
		policy, err := policyOf(&c, nil)
		if err != nil {
			p.log.Error("a foreign user's rules cannot be used", "user", c.Path, "error", err)
			policy, _ = access.NewPolicy(nil)
		}
		cfg.Foreign[person] = policy
	}
}

// For is the decider that would hold if the tree were view, as far as it decides on one asker. What is granted to neighbours is as it is now:
// nobody's request changes what they are granted themselves.
func (p *policies) For(view View, who access.Principal) *access.Decider {
	cfg := access.Config{Node: p.node, People: map[string]*access.Policy{}, Foreign: map[access.Person]*access.Policy{}, Grants: p.grants()}
	if who.Link != "" {
		p.readForeign(view, &cfg)
	} else if path, err := usersPath.Child(who.Chain.Person.Name); err == nil {
		if c, there := view.Lookup(path); there && own(&c) && c.Schema.Kind == KindUser && c.SettingNamed(settingEnabled).Bool() {
			roles := map[string][]access.Rule{}
			for _, name := range roleNames(c.SettingNamed(settingRoles).Text()) {
				roles[name], _ = p.role(view, name)
			}
			p.addPerson(&cfg, &c, roles)
		}
	}
	return p.deciderOf(cfg)
}

func policyOf(c *tree.Context, roles map[string][]access.Rule) (*access.Policy, error) {
	rules, err := rulesOf(c.SettingNamed(settingRules))
	if err != nil {
		return nil, err
	}
	var has []access.Role
	for _, name := range roleNames(c.SettingNamed(settingRoles).Text()) {
		has = append(has, access.Role{Name: name, Rules: roles[name]})
	}
	return access.NewPolicy(rules, has...)
}

// roles are the rules of all roles that a tree has.
func (p *policies) roles(of View) map[string][]access.Rule {
	roles := map[string][]access.Rule{}
	for _, c := range directlyBelow(of, rolesPath) {
		if c.Schema.Kind == KindRole {
			roles[c.Path.Base()] = p.rulesOfRole(&c)
		}
	}
	return roles
}

// role is the rules of one role, where a tree has it.
func (p *policies) role(of View, name string) ([]access.Rule, bool) {
	path, err := rolesPath.Child(name)
	if err != nil {
		return nil, false
	}
	c, there := of.Lookup(path)
	if !there || !own(&c) || c.Schema.Kind != KindRole {
		return nil, false
	}
	return p.rulesOfRole(&c), true
}

func (p *policies) rulesOfRole(c *tree.Context) []access.Rule {
	rules, err := rulesOf(c.SettingNamed(settingRules))
	if err != nil {
		p.log.Error("a role's rules cannot be used", "role", c.Path, "error", err)
	}
	return rules
}

// directlyBelow are the own contexts one level below a path.
func directlyBelow(t View, path model.Path) []tree.Context {
	var found []tree.Context
	t.Walk(path, func(at model.Path) bool { return at == path }, func(c *tree.Context) bool {
		if c.Path != path && own(c) {
			found = append(found, *c)
		}
		return true
	})
	return found
}
