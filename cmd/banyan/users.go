package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"banyan/access"
	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/server"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"
)

var usersPath = model.MustPath("/users")

func newUsers(c *cli) *cobra.Command {
	list := listing{usersPath, []string{server.KindUser, server.KindForeign}, "USER", []column{
		{head: "PERSON", name: "person"}, {head: "ENABLED", name: "enabled"}, {head: "ROLES", name: "roles"}, {head: "RULES", name: "rules", text: rulesText},
	}}
	cmd := list.command(c, "users", "Show who may log in, and add people",
		"Show who may log in at a node, and up to which right they may act. PERSON stands where somebody of another node is\nnarrowed. The first rule whose pattern selects a path decides; what no rule selects is denied.",
		"  banyan users\n  banyan users add alice --right operate --pattern '/sites/**'")
	cmd.AddCommand(newUserAdd(c), newUserRules(c), newUserPassword(c), newUserLocks(c), newUserUnlock(c))
	return cmd
}

// rulesText shows a table of rules as PATTERN=RIGHT.
func rulesText(r reading, _ time.Time) string {
	var table struct {
		Columns []struct{ Name string }
		Rows    [][]string
	}
	if json.Unmarshal(valueJSON(r.GetType(), r.GetValue()), &table) != nil {
		return r.text()
	}
	var rules []string
	for _, row := range table.Rows {
		if len(row) == 2 && len(table.Columns) == 2 {
			if table.Columns[0].Name == "right" {
				row[0], row[1] = row[1], row[0]
			}
			rules = append(rules, row[0]+"="+row[1])
		}
	}
	return strings.Join(rules, " ")
}

func newUserAdd(c *cli) *cobra.Command {
	var right, label string
	var patterns, rules, roles []string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user, and print the password that was drawn",
		Long: `Add a user with a password that is drawn and shown once, on standard output. --right and --pattern give rules, one
for each pattern; --rule gives them one by one, in the order in which they are tried.`,
		Example: `  banyan users add alice --right operate --pattern '/sites/**'
  banyan users add bob --rule '/sites/berlin/**=configure' --rule '/**=view' --role auditors`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := usersPath.Child(args[0])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			for _, pattern := range patterns {
				rules = append(rules, pattern+"="+right)
			}
			if len(rules) == 0 && len(roles) == 0 {
				return usagef(cmd, "a user without rules may do nothing: give --right with --pattern, --rule, or --role")
			}
			parsed, err := parseRules(rules)
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			value, err := parseJSON(string(server.RulesValue(parsed).JSON()))
			if err != nil {
				return err
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			password := server.DrawPassword()
			_, err = ask(ctx, at, "create", model.Address{Path: path}, at.trees.Create, &apiv1.CreateRequest{
				Path: path.String(), Kind: server.KindUser, Label: label,
				Texts:    texts("roles", strings.Join(roles, ",")),
				Settings: map[string]*structpb.Value{"rules": value, "password": structpb.NewStringValue(password)},
			})
			if err != nil {
				return err
			}
			return c.printPassword(args[0], password)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&right, "right", "view", "right on what --pattern selects: "+strings.Join(rightNames, ", "))
	flags.StringArrayVar(&patterns, "pattern", nil, "pattern of paths: * is one segment, ** any number; may be repeated")
	flags.StringArrayVar(&rules, "rule", nil, "PATTERN=RIGHT, or 'PATTERN RIGHT'; may be repeated, the first that selects a path decides")
	flags.StringSliceVar(&roles, "role", nil, "role of the user; may be repeated")
	flags.StringVar(&label, "label", "", "the person's name, in any script")
	completeWords(cmd, "right", rightNames...)
	return cmd
}

func newUserRules(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "rules NAME RULE...",
		Short: "Give a user other rules",
		Long: `Give a user these rules in place of those that "banyan users" shows, in the order in which they are tried: the first whose pattern
selects a path decides, so that an exception stands before the general rule. RULE is PATTERN=RIGHT, or 'PATTERN RIGHT'. They hold at once.`,
		Example:           "  banyan users rules alice '/sites/berlin/devices/plc-7=operate' '/sites/**=view'",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: c.completeChild(usersPath),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := usersPath.Child(args[0])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			parsed, err := parseRules(args[1:])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			value, err := parseJSON(string(server.RulesValue(parsed).JSON()))
			if err != nil {
				return err
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			address := model.Address{Path: path, Name: "rules"}
			done, err := ask(ctx, at, "set", address, at.trees.Set, &apiv1.SetRequest{Address: address.String(), Value: value})
			if err != nil {
				return err
			}
			return c.printDone("set "+address.String(), doneJSON{Revision: done.GetRevision(), Mirrored: done.GetMirrored(), Via: done.GetVia()})
		},
	}
}

// parseRules reads PATTERN=RIGHT, and PATTERN RIGHT: no path has a blank.
func parseRules(texts []string) ([]access.Rule, error) {
	var rules []access.Rule
	for _, text := range texts {
		text = strings.TrimSpace(text)
		at := strings.LastIndexAny(text, "= ")
		if at < 0 {
			return nil, fmt.Errorf("%q is not a rule: write PATTERN=RIGHT, like /devices/**=view", text)
		}
		pattern, err := model.ParsePattern(strings.TrimSpace(text[:at]))
		if err != nil {
			return nil, err
		}
		right, err := model.ParseRight(text[at+1:])
		if err != nil {
			return nil, err
		}
		rules = append(rules, access.Rule{Pattern: pattern, Right: right})
	}
	return rules, nil
}

// printPassword shows a password once: alone on standard output, so that it can be piped.
func (c *cli) printPassword(user, password string) error {
	if c.json {
		return c.printJSON(struct {
			User     string `json:"user"`
			Password string `json:"password"`
		}{user, password})
	}
	c.note("The password of user %s is shown once and kept nowhere:", clean(user))
	return c.printf("%s\n", password)
}

func newUserPassword(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "password NAME",
		Short:             "Draw a new password for a user, and print it",
		Long:              "Draw a new password for a user and show it once, on standard output. The user's sessions end.",
		Example:           "  banyan users password alice",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeChild(usersPath),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := usersPath.Child(args[0])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			password, address := server.DrawPassword(), model.Address{Path: path, Name: "password"}
			_, err = ask(ctx, at, "set", address, at.trees.Set, &apiv1.SetRequest{Address: address.String(), Value: structpb.NewStringValue(password)})
			if err != nil {
				return err
			}
			if kept, is := at.target.logins.(*networkLogins); is {
				if err := kept.replace(args[0], password); err != nil {
					c.note("The network in %s still keeps the old password: %v", clean(c.net), err)
				}
			}
			return c.printPassword(args[0], password)
		},
	}
}

func newUserLocks(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "locks",
		Short: "Show who may not log in for now",
		Long: `Show the names and the addresses that may not log in for now, after too many tries with a wrong password: five for a name, fifty for
an address, within a quarter of an hour. Tokens and open sessions are not affected.`,
		Example: "  banyan users locks",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			answer, err := at.system(ctx, "locks", nil)
			if err != nil {
				return err
			}
			rows := tableOf(answer, "locks")
			if c.json {
				return c.printRows(&rows)
			}
			t, now := &table{}, time.Now()
			t.add("LOCKED", "KIND", "TRIES", "OPENS")
			for i := range rows.rows {
				t.add(orDash(rows.cell(i, "what")), rows.cell(i, "kind"), rows.cell(i, "tries"), ahead(rows.cell(i, "until"), now))
			}
			return t.write(c.out)
		},
	}
}

func newUserUnlock(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "unlock NAME",
		Short:   "Let a name or an address log in again at once",
		Long:    `Let a name or an address log in again at once that "banyan users locks" shows.`,
		Example: "  banyan users unlock alice",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			answer, err := at.system(ctx, "unlock", texts("what", args[0]))
			if err != nil {
				return err
			}
			locked := result(answer, "locked") == "true"
			if c.json {
				return c.printJSON(struct {
					Locked bool `json:"locked"`
				}{locked})
			}
			if !locked {
				return c.printf("%s was not locked\n", clean(args[0]))
			}
			return c.printf("unlocked %s\n", clean(args[0]))
		},
	}
}
