package main

import (
	"context"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

// system calls a function of the node itself.
func (at *client) system(ctx context.Context, function string, texts map[string]string) (*apiv1.CallResponse, error) {
	return at.call(ctx, model.Address{Path: systemPath, Name: function}, named{texts: texts})
}

func newWho(c *cli) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "who",
		Short: "Show who you are at a node, and what you may do",
		Long: `Show who you are at a node, until when, by which rules you are judged, and where you are logged in. The first rule whose
pattern selects a path decides. With --all everybody who is logged in there is shown.`,
		Example: "  banyan who\n  banyan who --all",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			if all {
				return c.showSessions(ctx, at, "")
			}
			who, err := at.who(ctx, &apiv1.WhoRequest{})
			if err != nil {
				return err
			}
			return c.printWho(who)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "show everybody who is logged in")
	return cmd
}

func (at *client) who(ctx context.Context, q *apiv1.WhoRequest) (*apiv1.WhoResponse, error) {
	return ask(ctx, at, "who", model.Address{}, at.session.Who, q)
}

func (c *cli) printWho(who *apiv1.WhoResponse) error {
	if c.json {
		return c.printJSON(struct {
			Name     string        `json:"name"`
			Node     string        `json:"node"`
			Expires  string        `json:"expires,omitempty"`
			Rules    []string      `json:"rules"`
			Token    string        `json:"token,omitempty"`
			Scope    []string      `json:"scope,omitempty"`
			Sessions []sessionJSON `json:"sessions"`
		}{who.GetName(), who.GetNode(), who.GetExpires(), some(who.GetRules()), who.GetToken(), who.GetScope(), sessionForms(who.GetSessions())})
	}
	text := who.GetName() + " at node " + who.GetNode()
	if who.GetExpires() != "" {
		text += ", until " + wholeSeconds(who.GetExpires())
	}
	if who.GetToken() != "" {
		text += ", by the token " + who.GetToken()
	}
	if err := c.printf("%s\n", clean(text)); err != nil {
		return err
	}
	t := &table{}
	t.add("RULE", "PATTERN", "RIGHT")
	addRules(t, "", who.GetRules())
	addRules(t, "scope ", who.GetScope())
	if err := t.write(c.out); err != nil {
		return err
	}
	return c.sessionTable(who.GetSessions()).write(c.out)
}

// some is a list that JSON shows as one when it is empty.
func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func addRules(t *table, prefix string, rules []string) {
	for i, rule := range rules {
		pattern, right, _ := strings.Cut(rule, " ")
		t.add(prefix+number(int64(i+1)), pattern, right)
	}
}

type sessionJSON struct {
	ID      string `json:"id"`
	User    string `json:"user"`
	Kind    string `json:"kind"`
	From    string `json:"from,omitempty"`
	Since   string `json:"since,omitempty"`
	Used    string `json:"used,omitempty"`
	Expires string `json:"expires,omitempty"`
	Streams int64  `json:"streams"`
	Current bool   `json:"current,omitempty"`
}

func sessionForms(sessions []*apiv1.Session) []sessionJSON {
	forms := make([]sessionJSON, 0, len(sessions))
	for _, s := range sessions {
		forms = append(forms, sessionJSON{
			s.GetId(), s.GetUser(), s.GetKind(), s.GetFrom(), s.GetSince(), s.GetUsed(), s.GetExpires(), s.GetStreams(), s.GetCurrent(),
		})
	}
	return forms
}

// sessionTable shows sessions; the one that asks has a star.
func (c *cli) sessionTable(sessions []*apiv1.Session) *table {
	t, now := &table{}, time.Now()
	t.add("SESSION", "USER", "KIND", "FROM", "SINCE", "USED", "EXPIRES", "STREAMS")
	for _, s := range sessions {
		id := s.GetId()
		if s.GetCurrent() {
			id += "*"
		}
		t.add(id, s.GetUser(), s.GetKind(), orDash(s.GetFrom()), orDash(age(s.GetSince(), now)), orDash(age(s.GetUsed(), now)), orDash(ahead(s.GetExpires(), now)), number(s.GetStreams()))
	}
	return t
}

// ahead is how far ahead an instant is.
func ahead(instant string, now time.Time) string {
	text := age(instant, now)
	if rest, is := strings.CutPrefix(text, "-"); is {
		return "in " + rest
	}
	return text
}
