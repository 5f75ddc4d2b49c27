package main

import (
	"fmt"
	"strings"
	"time"

	"banyan/model"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"
)

// texts collects what is not empty.
func texts(pairs ...string) map[string]string {
	given := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			given[pairs[i]] = pairs[i+1]
		}
	}
	return given
}

func newInvite(c *cli) *cobra.Command {
	var as, mount, right, dials, again string
	var exports, addresses []string
	var expires time.Duration
	var proxy proxyFlags
	cmd := &cobra.Command{
		Use:   "invite NAME --as consumer|provider | invite --again LINK",
		Short: "Invite another node to a link",
		Long: `Make a link called NAME and an invitation to it, which another node redeems once with "banyan join". As consumer this
node will see the other's tree at --mount; as provider it shows its own, as far as --export and --right say. The
other side adds what it gives. The token alone goes to standard output, the explanation to standard error.

With --again the invitation is for the node that LINK is with already: where one of them does not take the other's
certificate any more, since its root has expired, or was succeeded while nobody could tell, "banyan join TOKEN" there
lets both pin each other's root anew. Everything that is set stays.`,
		Example: `  banyan invite berlin --as consumer --mount /sites/berlin
  banyan invite hq --as provider --export '/devices/**,/sites/**' --right operate --dials inviter
  banyan invite --again berlin
  banyan --profile north invite berlin --as consumer --mount /sites/berlin | ssh berlin banyan join -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if again != "" {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if again != "" {
				return c.inviteAgain(cmd, again, strings.Join(addresses, ","), expires)
			}
			if err := checkPart(cmd, as, mount, right, exports); err != nil {
				return err
			}
			given := named{texts: texts("name", args[0], "role", as, "mount", mount, "paths", strings.Join(exports, ","), "right", right,
				"dials", dials, "addresses", strings.Join(addresses, ","))}
			if cmd.Flags().Changed("expires") {
				given.texts["expires"] = expires.String()
			}
			if err := proxy.give(c, cmd, &given); err != nil {
				return err
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			answer, err := at.call(ctx, model.Address{Path: linksPath, Name: "invite"}, given)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(struct {
					Token   string `json:"token"`
					Expires string `json:"expires"`
				}{result(answer, "token"), result(answer, "expires")})
			}
			ends := result(answer, "expires")
			c.note("This token joins the other node to link %s, once, until %s (%s). At the other node:\n  banyan join -%s", clean(args[0]), clean(ends),
				clean(span(time.Second-ageOf(ends))), joinHint(as))
			return c.printf("%s\n", clean(result(answer, "token")))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&again, "again", "", "the `LINK` whose node is to join once more; nothing else is given then but --address and --expires")
	flags.StringVar(&as, "as", "", "this node's part: consumer or provider")
	flags.StringVar(&mount, "mount", "", "as consumer: where the other's tree is to hang")
	flags.StringVar(&right, "right", "", "as provider: the highest right that is granted (default view)")
	flags.StringSliceVar(&exports, "export", nil, "as provider: patterns of what is shown (default /**)")
	flags.StringVar(&dials, "dials", "", "who opens the connections: joiner (default) or inviter")
	flags.DurationVar(&expires, "expires", 15*time.Minute, "how long the invitation holds")
	flags.StringSliceVar(&addresses, "address", nil, "HOST:PORT at which the other node reaches this one (default where it listens)")
	proxy.add(cmd)
	completeWords(cmd, "as", "consumer", "provider")
	_ = cmd.RegisterFlagCompletionFunc("again", c.completeChild(linksPath))
	completeWords(cmd, "dials", "joiner", "inviter")
	completeWords(cmd, "right", rightNames...)
	return cmd
}

// checkPart refuses flags that do not go with this node's part.
func checkPart(cmd *cobra.Command, as, mount, right string, exports []string) error {
	switch {
	case as != "consumer" && as != "provider":
		return usagef(cmd, "--as is consumer (this node sees the other's tree) or provider (it shows its own)")
	case as == "consumer" && mount == "":
		return usagef(cmd, "a consumer needs --mount PATH: where the other's tree is to hang")
	case as == "consumer" && len(exports) > 0:
		return usagef(cmd, "--export goes with --as provider; as consumer this node shows nothing")
	case as == "consumer" && right != "":
		return usagef(cmd, "--right goes with --as provider; as consumer this node gets what the other grants it by `banyan join --right`")
	case as == "provider" && mount != "":
		return usagef(cmd, "--mount goes with --as consumer; as provider this node mounts nothing")
	}
	return nil
}

// inviteAgain makes an invitation to a link that is there.
func (c *cli) inviteAgain(cmd *cobra.Command, link, addresses string, expires time.Duration) error {
	for _, other := range []string{"as", "mount", "right", "export", "dials", "proxy"} {
		if f := cmd.Flags().Lookup(other); f != nil && f.Changed {
			return usagef(cmd, "--%s does not go with --again: the link keeps everything that is set", other)
		}
	}
	path, err := linksPath.Child(link)
	if err != nil {
		return usagef(cmd, "%v", err)
	}
	given := named{texts: texts("addresses", addresses)}
	if cmd.Flags().Changed("expires") {
		given.texts["expires"] = expires.String()
	}
	ctx, at, stop, err := c.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer stop()
	answer, err := at.call(ctx, model.Address{Path: path, Name: "invite_again"}, given)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(struct {
			Token   string `json:"token"`
			Expires string `json:"expires"`
		}{result(answer, "token"), result(answer, "expires")})
	}
	ends := result(answer, "expires")
	c.note("This token renews link %s with the node that it is with, once, until %s (%s). At the other node:\n  banyan join -", clean(link), clean(ends),
		clean(span(time.Second-ageOf(ends))))
	return c.printf("%s\n", clean(result(answer, "token")))
}

// joinHint is what the other node adds.
func joinHint(as string) string {
	if as == "consumer" {
		return " --export '/**' --right view    (what it shows, and up to which right this node may act on it)"
	}
	return " --mount PATH    (where this node's tree is to hang)"
}

// ageOf is how long ago an instant was, 0 where it is none.
func ageOf(instant string) time.Duration {
	at, err := model.ParseTime(instant)
	if err != nil || at == 0 {
		return 0
	}
	return time.Since(at.Std())
}

var rightNames = []string{"view", "operate", "configure", "administer"}

func newJoin(c *cli) *cobra.Command {
	var name, mount, right string
	var exports, addresses []string
	var proxy proxyFlags
	cmd := &cobra.Command{
		Use:   "join TOKEN | join -",
		Short: "Redeem another node's invitation",
		Long: `Redeem the invitation that "banyan invite" printed at another node. With - the token comes from standard input, so that
no list of processes shows it. Where the other node consumes, --export and --right say what this one shows and how
far the other may act on it; where it provides, --mount says where its tree is to hang here.`,
		Example: `  banyan join - < token.txt
  banyan join TOKEN --export '/devices/**' --right configure
  banyan join TOKEN --mount /regions/north --name north
  banyan join - --proxy http://proxy.example.org:3128 --proxy-user berlin --proxy-password-file /run/secrets/proxy < token.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			token := args[0]
			if token == "-" {
				var err error
				if token, err = c.readInput(); err != nil {
					return err
				}
			}
			if token = strings.TrimSpace(token); token == "" {
				return usagef(cmd, "the token is empty")
			}
			given := named{
				texts: texts("name", name, "mount", mount, "right", right, "paths", strings.Join(exports, ","), "addresses", strings.Join(addresses, ",")),
				// As JSON, so that nothing of it is mistaken for something else.
				values: map[string]*structpb.Value{"token": structpb.NewStringValue(token)},
			}
			if err := proxy.give(c, cmd, &given); err != nil {
				return err
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			answer, err := at.call(ctx, model.Address{Path: linksPath, Name: "join"}, given)
			if err != nil {
				return err
			}
			link, peer := result(answer, "link"), result(answer, "peer")
			if c.json {
				return c.printJSON(struct {
					Link string `json:"link"`
					Peer string `json:"peer"`
				}{link, peer})
			}
			return c.printf("%s\n", clean(fmt.Sprintf("linked with %s, link %s; `banyan links` shows how it is", peer, link)))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "what the link is called here (default the other node's name)")
	flags.StringVar(&mount, "mount", "", "as consumer: where the other's tree is to hang")
	flags.StringVar(&right, "right", "", "as provider: the highest right that is granted (default view)")
	flags.StringSliceVar(&exports, "export", nil, "as provider: patterns of what is shown (default /**)")
	flags.StringSliceVar(&addresses, "address", nil, "HOST:PORT at which the inviter reaches this node, where the inviter dials")
	proxy.add(cmd)
	completeWords(cmd, "right", rightNames...)
	return cmd
}
