package server

import (
	"context"
	"slices"

	"banyan/access"
	"banyan/model"
	"banyan/store"
	"banyan/tree"
)

// grantTries is how often what gives rights is judged anew, since what it was judged by changed before it was committed.
const grantTries = 3

// mostRelied bounds the conditions by which a commit is tied to what it was judged by.
const mostRelied = 200

// relied is what decides whether somebody may give rights: they themselves and whoever is given to, with the roles of both; over a link what the
// neighbour was granted. A commit that gives rights has their revisions as conditions. Otherwise somebody whose rights are taken away at the same
// moment could give them to a friend just after, and somebody who sets a password could get more by it than they were judged by.
//
// What the tree shows may not be judged by yet: whoever judges after this is.
func (p *policies) relied(ctx context.Context, who access.Principal, to ...model.Path) []store.Condition {
	defer p.heard()
	var on []store.Condition
	seen := map[model.ContextID]bool{}
	add := func(c *tree.Context) {
		if own(c) && !seen[c.ID] && len(on) < mostRelied {
			seen[c.ID] = true
			on = append(on, store.Condition{Target: target(c), Revision: c.Version})
		}
	}
	user := func(path model.Path) {
		c, there := p.tree.Lookup(path)
		if !there || !own(&c) || c.Schema.Kind != KindUser {
			return
		}
		add(&c)
		for _, name := range roleNames(c.SettingNamed(settingRoles).Text()) {
			if at, err := rolesPath.Child(name); err == nil {
				if role, there := p.tree.Lookup(at); there {
					add(&role)
				}
			}
		}
	}
	for _, path := range to {
		user(path)
	}
	if who.Link == "" {
		if path, err := usersPath.Child(who.Chain.Person.Name); err == nil {
			user(path)
		}
		if token := callerOf(ctx).token; token != nil {
			on = append(on, store.Condition{Target: store.ByID(token.id)})
		}
		return on
	}
	if path, err := linksPath.Child(who.Link); err == nil {
		if c, there := p.tree.Lookup(path); there {
			add(&c)
		}
	}
	for _, folder := range []model.Path{exportsPath, usersPath} {
		for _, c := range directlyBelow(p.tree, folder) {
			granted := c.Schema.Kind == KindExport && slices.Contains(exportedTo(c.SettingNamed), who.Link)
			narrowed := c.Schema.Kind == KindForeign && c.SettingNamed(settingPerson).Text() == who.Chain.Person.String()
			if granted || narrowed {
				add(&c)
			}
		}
	}
	return on
}

// gives reports whether a request may give somebody rights, and to whom.
func (q *Request) gives() (to []model.Path, gives bool) {
	for _, path := range q.paths() {
		if usersPath.Contains(path) || rolesPath.Contains(path) {
			to, gives = append(to, path), true
		}
	}
	return to, gives
}

// paths are those that a request is about.
func (q *Request) paths() []model.Path {
	if q.Op != OpApply {
		return []model.Path{q.Path}
	}
	paths := make([]model.Path, len(q.Edits))
	for i := range q.Edits {
		paths[i] = q.Edits[i].Path
	}
	return paths
}

// judged carries out a request, and again where what it was judged by changed before it was committed.
func (r *Router) judged(ctx context.Context, who access.Principal, q *Request) (Response, error) {
	q.shows = q.DryRun
	to, gives := q.gives()
	if !gives {
		return r.execute(ctx, who, q)
	}
	q.relied = r.rules.relied(ctx, who, to...)
	for try := 1; ; try++ {
		response, err := r.execute(ctx, who, q)
		if model.KindOf(err) != model.KindConflict || try == grantTries {
			return response, err
		}
		now := r.rules.relied(ctx, who, to...)
		if slices.Equal(now, q.relied) {
			return response, err // it is about something else
		}
		q.relied = now
	}
}
