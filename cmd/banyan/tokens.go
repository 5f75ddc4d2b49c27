package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/server"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"
)

func newTokens(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tokens",
		Short: "Show the tokens of programs, and make them",
		Long: `Show the tokens with which programs act as a user. "banyan remove PATH" ends one. What a token is, is shown only
when it is made.`,
		Example: "  banyan tokens\n  banyan tokens add backup --of alice --expires 720h\n  banyan remove /users/alice/tokens/4f1c2a9e0b7d",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			return c.showTokens(ctx, at)
		},
	}
	cmd.AddCommand(newTokenAdd(c))
	return cmd
}

func (c *cli) showTokens(ctx context.Context, at *client) error {
	users, _, err := at.list(ctx, usersPath, "", mostListed)
	if err != nil {
		return err
	}
	t, now := &table{}, time.Now()
	t.add("TOKEN", "USER", "EXPIRES", "USED", "FROM", "SCOPE", "LABEL")
	for _, user := range users {
		path, err := model.ParsePath(user.GetPath() + "/tokens")
		if err != nil || !user.GetParent() {
			continue
		}
		list := listing{path: path, kinds: []string{server.KindToken}}
		infos, err := list.read(ctx, at)
		if err != nil && model.KindOf(err) != model.KindNotFound {
			return err
		}
		for _, info := range infos {
			if c.json {
				if err := c.printJSON(list.form(info)); err != nil {
					return err
				}
				continue
			}
			expires := "-"
			if r, there := readingOf(info, "expires"); there {
				expires = until(r, now)
			}
			t.add(info.GetPath(), path.Parent().Base(), expires, tokenCell(info, "used", since, now), tokenCell(info, "used_from", nil, now), tokenScope(info, now), info.GetLabel())
		}
	}
	if c.json {
		return nil
	}
	return t.write(c.out)
}

// tokenCell is a variable of a token, a dash where it has no value.
func tokenCell(info *apiv1.ContextInfo, name string, text func(reading, time.Time) string, now time.Time) string {
	r, there := readingOf(info, name)
	if !there || r.GetValue() == nil || valueText(r.GetType(), r.GetValue()) == "-" {
		return "-"
	}
	if text == nil {
		return orDash(r.short(60))
	}
	return orDash(text(r, now))
}

// tokenScope is what narrows a token.
func tokenScope(info *apiv1.ContextInfo, now time.Time) string {
	if scoped, there := readingOf(info, "scoped"); !there || valueText(scoped.GetType(), scoped.GetValue()) != "true" {
		return "all"
	}
	if r, there := readingOf(info, "scope"); there {
		if text := rulesText(r, now); text != "" {
			return text
		}
	}
	return "nothing"
}

func newTokenAdd(c *cli) *cobra.Command {
	var user, expires string
	var scope, from []string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a token, and print it",
		Long: `Make a token with which a program acts as a user, for the header "Authorization: Bearer TOKEN". It is shown once, alone
on standard output. --scope narrows what it may do to less than the user may, by rules like a user's: what is done must be allowed by both.`,
		Example: "  banyan tokens add backup --expires 30d\n  banyan tokens add dashboard --of alice --scope '/devices/** view' --from 10.1.0.0/16 > token.txt",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			given, err := tokenTerms(args[0], expires, scope, from)
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			if user == "" {
				who, err := ask(ctx, at, "tokens add", model.Address{}, at.session.Who, &apiv1.WhoRequest{})
				if err != nil {
					return err
				}
				user = who.GetName()
			}
			path, err := usersPath.Child(user)
			if err != nil {
				return usagef(cmd, "--of: %v", err)
			}
			answer, err := at.call(ctx, model.Address{Path: path, Name: "create_token"}, given)
			if err != nil {
				return err
			}
			token, ends, where := result(answer, "token"), result(answer, "expires"), result(answer, "path")
			if c.json {
				return c.printJSON(struct {
					Token   string `json:"token"`
					Expires string `json:"expires"`
					Path    string `json:"path"`
				}{token, ends, where})
			}
			c.note("This token acts as %s until %s; `banyan remove %s` ends it. It is shown once and kept nowhere:", clean(user), clean(wholeSeconds(ends)), clean(where))
			return c.printf("%s\n", clean(token))
		},
	}
	cmd.Flags().StringVar(&user, "of", "", "the user as whom the program acts (default who asks)")
	cmd.Flags().StringVar(&expires, "expires", "", "how long it is valid, like 12h or 30d (default 90d)")
	cmd.Flags().StringArrayVar(&scope, "scope", nil, "rule that narrows it, 'PATTERN RIGHT' or PATTERN=RIGHT; may be repeated, the first that selects a path decides")
	cmd.Flags().StringSliceVar(&from, "from", nil, "network or address from which alone it can be used; may be repeated")
	return cmd
}

// tokenTerms are the arguments by which a token is made.
func tokenTerms(name, expires string, scope, from []string) (named, error) {
	given := named{texts: texts("name", name, "from", strings.Join(from, ",")), values: map[string]*structpb.Value{}}
	if expires != "" {
		lifetime, err := parseDays(expires)
		if err != nil {
			return given, fmt.Errorf("--expires: %q is not a length of time: write one like 12h or 30d", expires)
		}
		given.texts["lifetime"] = lifetime.String()
	}
	if len(scope) == 0 {
		return given, nil
	}
	parsed, err := parseRules(scope)
	if err != nil {
		return given, err
	}
	given.values["scope"], err = parseJSON(string(server.RulesValue(parsed).JSON()))
	return given, err
}

// parseDays reads a length of time, days included.
func parseDays(text string) (time.Duration, error) {
	if days, is := strings.CutSuffix(text, "d"); is {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	return time.ParseDuration(text)
}
