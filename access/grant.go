package access

import "banyan/model"

// CanGrant refuses rules that are wider than the right of who would make them, since otherwise whoever may change people could give
// themselves everything. It is conservative: it allows a rule only where the grantor certainly has as much on all of its pattern, by
// rules that cover it whole or by one export; over a link that is an export which hides nothing, secrets and people included.
//
// Pass all rules that each person touched by the change has after it, those of roles included: taking a rule away can uncover another
// one. Ask it also before somebody gets a new password or token, since that hands out all that they may do. Whether the grantor
// may change people at all is a Question of its own. Of mounted users and links no rule here can take charge: their owner decides.
func (d *Decider) CanGrant(who Principal, rules []Rule) error {
	if len(rules) > MaxRules {
		return model.Errorf(model.KindInvalid, "%d rules are to be granted, at most %d are allowed", len(rules), MaxRules)
	}
	for i, rule := range rules {
		has := d.least(&who, rule.Pattern)
		if rule.Right == model.RightNone || has >= rule.Right {
			continue
		}
		refused := model.Errorf(model.KindDenied, "denied by %s: rule %d gives %s on %s, where %s certainly has %s only",
			d.node, i+1, rule.Right, rule.Pattern, who.Chain.who(), has)
		refused.Node = d.node
		return refused
	}
	return nil
}

// least is a right that the principal certainly has on everything that the pattern selects.
func (d *Decider) least(who *Principal, pattern model.Pattern) model.Right {
	if policy := d.policyOf(who); policy != nil {
		return min(policy.least(pattern), who.Scope.least(pattern))
	}
	grant := d.grantOf(who)
	if grant == nil {
		return model.RightNone
	}
	least := model.RightNone
	for _, s := range grant.Exports {
		least = max(least, s.least(pattern))
	}
	if least >= model.RightOperate && !who.Chain.Person.valid() {
		least = model.RightView
	}
	if policy := d.foreign[who.Chain.Person]; policy != nil && least >= model.RightOperate {
		least = max(min(least, policy.least(pattern)), model.RightView)
	}
	switch {
	case d.links.touches(pattern) || d.own.touches(pattern) || d.persons.touches(pattern) && least < model.RightAdminister:
		return min(least, model.RightView)
	case !d.persons.holds(pattern):
		return min(least, model.RightConfigure)
	}
	return least
}
