package main

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newLogin(c *cli) *cobra.Command {
	var caFile, name string
	var asToken bool
	cmd := &cobra.Command{
		Use:   "login URL",
		Short: "Log in at a node and keep the session in a profile",
		Long: `Log in at a node with a password, which is asked for or read from standard input, and keep the session in a profile, a
file that only you can read. --ca is the ca.pem of the node's directory; without it the node's certificate must be
signed by somebody whom this machine trusts. With --token, a token made by "banyan tokens add" is read in place of
a password.`,
		Example: `  banyan login https://hq.example:8443 --ca ca.pem --name alice
  banyan login 127.0.0.1:8443 --ca /var/lib/banyan/ca.pem --name admin --profile here < password.txt
  banyan login https://hq.example:8443 --token < token.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			url, err := apiURL(args[0])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			if c.net != "" && cmd.Flags().Changed("net") {
				return usagef(cmd, "--net needs no login: it knows the passwords itself")
			}
			p := &profile{URL: url, User: cmp.Or(name, c.user)}
			if p.User == "" && !asToken {
				if who, err := user.Current(); err == nil {
					p.User = who.Username
				}
			}
			if caFile != "" {
				pem, err := os.ReadFile(caFile)
				if err != nil {
					return usagef(cmd, "--ca: %v", err)
				}
				p.CA = string(pem)
				if p.CAFile, err = filepath.Abs(caFile); err != nil {
					return err
				}
			}
			return c.login(cmd, p, asToken)
		},
	}
	cmd.Flags().StringVar(&caFile, "ca", "", "file with the certificate of who signs the node's, PEM")
	cmd.Flags().StringVar(&name, "name", "", "user to log in as (default the name that you have on this machine)")
	cmd.Flags().BoolVar(&asToken, "token", false, "read a token in place of a password")
	return cmd
}

// login logs in and keeps the profile.
func (c *cli) login(cmd *cobra.Command, p *profile, asToken bool) error {
	name := c.profile
	if name == "" {
		name = defaultProfile
	}
	if _, err := profileFile(name); err != nil {
		return usagef(cmd, "%v", err)
	}
	at, err := c.dial(p.target(name))
	if err != nil {
		return err
	}
	at.target.what = "the node"
	secret, err := c.askSecret(p.User, asToken)
	if err != nil {
		return err
	}
	if c.timeout > 0 {
		at.until = time.Now().Add(c.timeout) // a person takes time to type
	}
	ctx, stop := at.bound(cmd.Context())
	defer stop()
	if asToken {
		p.Token = secret
	} else {
		session, err := at.login(ctx, p.User, secret)
		if err != nil {
			return err
		}
		p.Token, p.Expires = session.GetToken(), session.GetExpires()
	}
	at.target.logins = &profileLogins{p, name}
	at.bearer = ""
	who, err := ask(ctx, at, "login", model.Address{}, at.session.Who, &apiv1.WhoRequest{})
	if err != nil {
		return err
	}
	p.User, p.Node = who.GetName(), who.GetNode()
	if err := p.write(name); err != nil {
		return model.Errorf(model.KindInternal, "the profile cannot be kept: %w", err)
	}
	return c.printLogin(name, p)
}

func (c *cli) printLogin(name string, p *profile) error {
	if c.json {
		return c.printJSON(struct {
			Profile string `json:"profile"`
			URL     string `json:"url"`
			User    string `json:"user"`
			Node    string `json:"node"`
			Expires string `json:"expires,omitempty"`
		}{name, p.URL, p.User, p.Node, p.Expires})
	}
	text := "logged in as " + p.User + " at node " + p.Node
	if p.Expires != "" {
		text += " until " + wholeSeconds(p.Expires)
	}
	return c.printf("%s\n", clean(text+", profile "+name))
}

// wholeSeconds is an instant without its fraction; what is none stays as it is.
func wholeSeconds(instant string) string {
	at, err := model.ParseTime(instant)
	if err != nil || at == 0 {
		return instant
	}
	return at.Std().UTC().Format(time.RFC3339)
}

// askSecret asks a person without showing what is typed, or reads standard input.
func (c *cli) askSecret(name string, asToken bool) (string, error) {
	file, isFile := c.in.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		text, err := c.readInput()
		return strings.TrimSpace(text), err
	}
	question := "Password of " + clean(name) + ": "
	if asToken {
		question = "Token: "
	}
	_, _ = c.errs.Write([]byte(question))
	typed, err := term.ReadPassword(int(file.Fd()))
	_, _ = c.errs.Write([]byte("\n"))
	return strings.TrimSpace(string(typed)), err
}

func newLogout(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "logout",
		Short:   "End the session of a profile",
		Long:    "End the session of a profile, at the node and here.",
		Example: "  banyan logout --profile here",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name := c.profile
			if name == "" {
				name = defaultProfile
			}
			p, err := readProfile(name)
			if errors.Is(err, fs.ErrNotExist) {
				return c.noProfile(name)
			}
			if err != nil {
				return err
			}
			at, err := c.dial(p.target(name))
			if err != nil {
				return err
			}
			ctx, stop := at.bound(cmd.Context())
			defer stop()
			_, err = ask(ctx, at, "logout", model.Address{}, at.session.Logout, &apiv1.LogoutRequest{})
			if err != nil && model.KindOf(err) != model.KindUnauthenticated {
				return err // an ended session needs no end
			}
			p.Token, p.Expires = "", ""
			if err := p.write(name); err != nil {
				return err
			}
			return c.printf("logged out of %s, profile %s\n", clean(p.URL), clean(name))
		},
	}
}
