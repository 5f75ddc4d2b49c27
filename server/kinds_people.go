package server

import (
	"strings"

	"banyan/access"
	"banyan/model"
	"banyan/tree"
)

// Names of settings of users, roles and tokens.
const (
	settingPassword = "password"
	settingRoles    = "roles"
	settingEnabled  = "enabled"
	settingRules    = "rules"
	settingPerson   = "person"
	settingHash     = "hash"
	settingExpires  = "expires"
	settingScoped   = "scoped"
	settingScope    = "scope"
	settingFrom     = "from"

	functionCreateToken = "create_token"
)

var ruleColumns = []model.Column{{Name: "pattern", Type: model.TypeString}, {Name: "right", Type: model.TypeString}}

func rulesSetting(description string) model.Setting {
	return model.Setting{
		Name: settingRules, Type: model.TypeTable, Right: model.RightAdminister, Default: model.TableValue(&model.Table{Columns: ruleColumns}),
		Description: description + " The first rule whose pattern selects a path decides.",
	}
}

var userSchema = model.Schema{
	Kind: KindUser, Description: "Somebody who can log in here. The name is the last segment of the path.",
	Settings: []model.Setting{
		{Name: settingPassword, Type: model.TypeString, Secret: true, Right: model.RightAdminister,
			Description: "10 to 256 bytes; only an argon2id hash of it is kept. Without one nobody can log in with a password."},
		{Name: settingEnabled, Type: model.TypeBool, Default: model.Bool(true), Right: model.RightAdminister,
			Description: "False ends the user's sessions and refuses new ones; tokens rest."},
		{Name: settingRoles, Type: model.TypeString, Default: model.String(""), Right: model.RightAdminister,
			Description: "Names of roles, separated by commas; their rules come after the user's own, in this order."},
		userRateSetting(),
		rulesSetting("What the user may do: pattern and right (none, view, operate, configure, administer)."),
	},
	Functions: []model.Function{{
		Name: functionCreateToken, Right: model.RightAdminister, Local: true,
		Description: "Makes a token with which programs act as this user. It is shown once.",
		Parameters: []model.Field{
			{Name: "name", Type: model.TypeString, Description: "What it is for."},
			{Name: "lifetime", Type: model.TypeDuration, Optional: true, Description: "How long it is valid, 1m to 87600h, by default 2160h."},
			{Name: "scope", Type: model.TypeTable, Optional: true, Description: "Rules, pattern and right, that narrow what the token may do to less than the user may."},
			{Name: "from", Type: model.TypeString, Optional: true, Description: "Networks from which alone it can be used, like 10.1.0.0/16, separated by commas."},
		},
		Results: []model.Field{
			{Name: "token", Type: model.TypeString, Secret: true, Description: "For the header Authorization: Bearer TOKEN."},
			{Name: "expires", Type: model.TypeTime, Description: "When it ends."},
			{Name: "path", Type: model.TypeRef, Description: "Where it can be removed."},
		},
	}},
}

var roleSchema = model.Schema{
	Kind: KindRole, Description: "Rules that several users have. The name is the last segment of the path.",
	Settings: []model.Setting{rulesSetting("What whoever has the role may do: pattern and right.")},
}

var foreignSchema = model.Schema{
	Kind: KindForeign, Description: "Rules by which a person of another node is narrowed here; they never give more than that node was granted.",
	Settings: []model.Setting{
		{Name: settingPerson, Type: model.TypeString, Right: model.RightAdminister, Description: "Who, written alice@hq."},
		rulesSetting("What the person may do at most: pattern and right."),
	},
}

var tokenSchema = model.Schema{
	Kind: KindToken, Description: "A token with which programs act as the user above it. Removing it ends it.",
	Settings: []model.Setting{
		{Name: settingHash, Type: model.TypeBytes, Secret: true, Description: "SHA-256 of the token."},
		{Name: settingExpires, Type: model.TypeTime, Description: "When it ends."},
		{Name: settingScoped, Type: model.TypeBool, Default: model.Bool(false), Description: "Whether scope narrows it."},
		{Name: settingScope, Type: model.TypeTable, Default: model.TableValue(&model.Table{Columns: ruleColumns}),
			Description: "Rules like a user's: what is done by the token must be allowed by both."},
		{Name: settingFrom, Type: model.TypeString, Default: model.String(""), Description: "Networks from which it can be used; empty is everywhere."},
	},
	Variables: []model.Variable{
		{Name: variableUsed, Type: model.TypeTime, Description: "When it was used last, within some seconds."},
		{Name: variableUsedFrom, Type: model.TypeString, Description: "From which address."},
	},
}

// rulesOf reads a table of rules.
func rulesOf(v model.Value) ([]access.Rule, error) {
	table := v.Table()
	if table == nil {
		return nil, nil
	}
	pattern, right := -1, -1
	for i, c := range table.Columns {
		switch {
		case c.Type != model.TypeString:
		case c.Name == "pattern":
			pattern = i
		case c.Name == "right":
			right = i
		}
	}
	if len(table.Rows) > 0 && (pattern < 0 || right < 0 || len(table.Columns) != 2) {
		return nil, model.Errorf(model.KindInvalid, "rules are a table of the columns pattern and right, both strings")
	}
	var rules []access.Rule
	for i, row := range table.Rows {
		p, err := model.ParsePattern(row[pattern].Text())
		if err != nil {
			return nil, model.Errorf(model.KindInvalid, "rule %d: %w", i+1, err)
		}
		r, err := model.ParseRight(row[right].Text())
		if err != nil {
			return nil, model.Errorf(model.KindInvalid, "rule %d: %w", i+1, err)
		}
		rules = append(rules, access.Rule{Pattern: p, Right: r})
	}
	return rules, nil
}

// RulesValue is a table of rules, for whoever makes a user, a role or an export.
func RulesValue(rules []access.Rule) model.Value {
	table := &model.Table{Columns: ruleColumns}
	for _, r := range rules {
		table.Rows = append(table.Rows, []model.Value{model.String(r.Pattern.String()), model.String(r.Right.String())})
	}
	return model.TableValue(table)
}

// roleNames splits the setting roles.
func roleNames(text string) []string {
	var names []string
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// own reports whether a context is this node's: only then does its kind mean anything here.
func own(c *tree.Context) bool { return len(c.Route) == 0 }
