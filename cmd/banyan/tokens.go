package main

import (
	"context"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"
	"banyan/server"

	"github.com/spf13/cobra"
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
	t.add("TOKEN", "USER", "EXPIRES", "LABEL")
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
			t.add(info.GetPath(), path.Parent().Base(), expires, info.GetLabel())
		}
	}
	if c.json {
		return nil
	}
	return t.write(c.out)
}

func newTokenAdd(c *cli) *cobra.Command {
	var user string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a token, and print it",
		Long: `Make a token with which a program acts as a user, for the header "Authorization: Bearer TOKEN". It is shown once, alone
on standard output.`,
		Example: "  banyan tokens add backup --expires 720h\n  banyan tokens add dashboard --of alice > token.txt",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
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
			given := named{texts: texts("name", args[0])}
			if cmd.Flags().Changed("expires") {
				given.texts["lifetime"] = expires.String()
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
	cmd.Flags().DurationVar(&expires, "expires", 90*24*time.Hour, "how long it is valid")
	return cmd
}
