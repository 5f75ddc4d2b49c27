package server

import (
	"context"
	"slices"

	"banyan/access"
	"banyan/model"
	"banyan/tree"
)

// users is the controller of users.
type users struct {
	passive
	policies *policies
	sessions *sessions
	tokens   *tokens
}

// Check keeps users where they belong, turns a password into its hash, and refuses to give anybody more than the giver has.
func (u *users) Check(ctx context.Context, p *Proposal) error {
	name := p.Path.Base()
	if p.Op == OpCreate && p.Path.Parent() != usersPath {
		return misplaced(KindUser, usersPath)
	}
	if p.By.Link == "" && p.By.Chain.Person.Name == name && (p.Op == OpRemove || !p.After(settingEnabled).Bool()) {
		return model.Errorf(model.KindUnsupported, "nobody removes or disables themselves: another administrator can")
	}
	if p.Op == OpRemove {
		p.Done = func() { u.sessions.endOf(name) }
		return p.Rights.CanGrant(p.By, u.rulesOfThere(p))
	}
	if err := checkLimits(p); err != nil {
		return err
	}
	rules, err := rulesOf(p.After(settingRules))
	if err != nil {
		return err
	}
	for _, role := range roleNames(p.After(settingRoles).Text()) {
		known, there := u.policies.role(p.Tree, role)
		if !there {
			return model.Errorf(model.KindInvalid, "there is no role %q below %s", role, rolesPath)
		}
		rules = append(rules, known...)
	}
	if err := p.Rights.CanGrant(p.By, rules); err != nil {
		return err
	}
	return u.settle(ctx, p, name)
}

// rulesOfThere are the rules of a user who is there, as far as they can be used: whoever may do less than somebody does not remove them.
func (u *users) rulesOfThere(p *Proposal) []access.Rule {
	rules, err := rulesOf(p.At.SettingNamed(settingRules))
	if err != nil {
		rules = nil // nobody has anything by them
	}
	for _, role := range roleNames(p.At.SettingNamed(settingRoles).Text()) {
		known, _ := u.policies.role(p.Tree, role)
		rules = append(rules, known...)
	}
	return rules
}

// settle hashes a password that is given, and says whose sessions end.
func (u *users) settle(ctx context.Context, p *Proposal, name string) error {
	if !p.After(settingEnabled).Bool() {
		p.Done = func() { u.sessions.endOf(name) }
	}
	at := slices.IndexFunc(p.Settings, func(a model.Argument) bool { return a.Name == settingPassword })
	if at < 0 {
		return nil
	}
	p.Done = func() { u.sessions.endOf(name) }
	if p.Settings[at].Value.IsNone() {
		return nil
	}
	if p.Trial {
		return checkPassword(p.Settings[at].Value.Text())
	}
	hash, err := u.sessions.passwords.hash(ctx, p.Settings[at].Value.Text())
	if err == nil {
		p.Settings[at].Value = model.String(hash)
	}
	return err
}

// Call makes a token.
func (u *users) Call(ctx context.Context, at *tree.Context, function string, arguments []model.Argument, by access.Principal) ([]model.Argument, error) {
	if function != functionCreateToken {
		return nil, model.Errorf(model.KindUnsupported, "a user has no function %s", function)
	}
	terms, err := readTerms(argumentsOf(arguments))
	if err != nil {
		return nil, err
	}
	// First what it is judged by, then the judgement: what changes in between is found by the commit.
	relied := u.policies.relied(ctx, by, at.Path)
	now, there := u.policies.tree.Lookup(at.Path)
	if !there || now.ID != at.ID {
		return nil, access.NotFound("call", model.Address{Path: at.Path, Name: function})
	}
	if err := u.mayMake(by, &now, terms); err != nil {
		return nil, err
	}
	return u.tokens.create(ctx, &now, terms, relied)
}

// mayMake refuses a token that would do more than who makes it may: it does what both the user's rules and its scope allow, so that either of them may
// be what keeps it within.
func (u *users) mayMake(by access.Principal, at *tree.Context, terms tokenTerms) error {
	policy, err := policyRules(u.policies, at)
	if err != nil {
		return err
	}
	decider := u.policies.Decider()
	err = decider.CanGrant(by, policy)
	if err != nil && terms.scoped && decider.CanGrant(by, terms.scope) == nil {
		return nil
	}
	return err
}

// policyRules are all rules of a user, those of roles included.
func policyRules(p *policies, at *tree.Context) ([]access.Rule, error) {
	rules, err := rulesOf(at.SettingNamed(settingRules))
	if err != nil {
		return nil, err
	}
	roles := p.roles(p.tree)
	for _, role := range roleNames(at.SettingNamed(settingRoles).Text()) {
		rules = append(rules, roles[role]...)
	}
	return rules, nil
}

func misplaced(kind string, where model.Path) error {
	return model.Errorf(model.KindInvalid, "a %s is directly below %s", kind, where)
}

// roles is the controller of roles.
type roles struct {
	passive
	policies *policies
}

// Check refuses what would give anybody who has the role more than the giver has.
func (r *roles) Check(_ context.Context, p *Proposal) error {
	if p.Op == OpCreate && p.Path.Parent() != rolesPath {
		return misplaced(KindRole, rolesPath)
	}
	name := p.Path.Base()
	var changed []access.Rule
	if p.Op != OpRemove {
		var err error
		if changed, err = rulesOf(p.After(settingRules)); err != nil {
			return err
		}
		if err := p.Rights.CanGrant(p.By, changed); err != nil {
			return err
		}
	}
	known := r.policies.roles(p.Tree)
	known[name] = changed
	for _, user := range directlyBelow(p.Tree, usersPath) {
		has := roleNames(user.SettingNamed(settingRoles).Text())
		if user.Schema.Kind != KindUser || !slices.Contains(has, name) {
			continue
		}
		rules, err := rulesOf(user.SettingNamed(settingRules))
		if err != nil {
			return err
		}
		for _, role := range has {
			rules = append(rules, known[role]...)
		}
		if err := p.Rights.CanGrant(p.By, rules); err != nil {
			return err
		}
	}
	return nil
}

// foreigners is the controller of what is said about people of other nodes.
type foreigners struct {
	passive
	policies *policies
}

// Check reads what is given. Its rules only narrow, so that taking them away is what may give more: that is up to the grant.
func (f *foreigners) Check(_ context.Context, p *Proposal) error {
	if p.Op == OpCreate && p.Path.Parent() != usersPath {
		return misplaced(KindForeign, usersPath)
	}
	if p.Op == OpRemove {
		return nil
	}
	if _, err := access.ParsePerson(p.After(settingPerson).Text()); err != nil {
		return err
	}
	rules, err := rulesOf(p.After(settingRules))
	if err != nil {
		return err
	}
	_, err = access.NewPolicy(rules)
	return err
}
