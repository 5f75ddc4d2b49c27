package main

import (
	"strings"
	"time"

	"banyan/model"

	"github.com/spf13/cobra"
)

func newRecover(c *cli) *cobra.Command {
	var addresses []string
	cmd := &cobra.Command{
		Use:   "recover LINK",
		Short: "Let a dead node be replaced from the backup that is kept here",
		Long: `Make a token with which the sealed backup that this node keeps of the node at the other end of LINK is handed out, once,
within 15 minutes, to who proves to have its recovery key. On the new machine "banyan restore TOKEN --dir DIR" takes it
from there; after "banyan serve" the link comes back by itself. The token alone goes to standard output.`,
		Example: `  banyan recover berlin
  banyan --profile hq recover berlin | ssh newberlin banyan restore - --dir /var/lib/banyan --key-file berlin.key`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeChild(linksPath),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := linksPath.Child(args[0])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			given := named{texts: texts("addresses", strings.Join(addresses, ","))}
			answer, err := at.call(ctx, model.Address{Path: path, Name: "recover"}, given)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(struct {
					Token     string `json:"token"`
					Expires   string `json:"expires"`
					Made      string `json:"made"`
					Revision  string `json:"revision"`
					Recipient string `json:"recipient"`
				}{result(answer, "token"), result(answer, "expires"), result(answer, "made"), result(answer, "revision"), result(answer, "recipient")})
			}
			ends := result(answer, "expires")
			c.note("This token hands out the backup of %s, made %s, once, until %s (%s), to who has the key of %s. On the new machine:\n  banyan restore - --dir DIR",
				clean(args[0]), clean(wholeSeconds(result(answer, "made"))), clean(ends), clean(span(time.Second-ageOf(ends))), clean(result(answer, "recipient")))
			return c.printf("%s\n", clean(result(answer, "token")))
		},
	}
	cmd.Flags().StringSliceVar(&addresses, "address", nil, "HOST:PORT at which the new machine reaches this node (default where it listens)")
	return cmd
}
