package main

import (
	"io"
	"os"
	"strings"

	"banyan/model"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/protobuf/types/known/structpb"
)

// maxPasswordBytes bounds the file with a password.
const maxPasswordBytes = 4 << 10

// proxyFlags are the flags of invite and join for the proxy through which the node dials.
type proxyFlags struct{ url, user, file string }

func (p *proxyFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&p.url, "proxy", "", "where this node dials: through the proxy http://HOST:PORT or https://HOST:PORT, or none (default what its environment says)")
	flags.StringVar(&p.user, "proxy-user", "", "user at the proxy; its password is asked for")
	flags.StringVar(&p.file, "proxy-password-file", "", "file with that password, in place of asking")
}

// give adds what was given to the parameters of a call. The password is asked for, or read from a file; it never is an argument, which everybody
// sees who lists processes.
func (p *proxyFlags) give(c *cli, cmd *cobra.Command, to *named) error {
	switch {
	case p.user == "" && p.file != "":
		return usagef(cmd, "--proxy-password-file goes with --proxy-user")
	case p.user != "" && p.url == "":
		return usagef(cmd, "--proxy-user goes with --proxy")
	case p.url == "":
		return nil
	}
	if to.values == nil {
		to.values = map[string]*structpb.Value{}
	}
	to.values["proxy"] = structpb.NewStringValue(p.url)
	if p.user == "" {
		return nil
	}
	password, err := p.password(c, cmd)
	if err != nil {
		return err
	}
	to.values["proxy_user"], to.values["proxy_password"] = structpb.NewStringValue(p.user), structpb.NewStringValue(password)
	return nil
}

func (p *proxyFlags) password(c *cli, cmd *cobra.Command) (string, error) {
	if p.file != "" {
		file, err := os.Open(p.file)
		if err != nil {
			return "", model.Errorf(model.KindInvalid, "the password for the proxy cannot be read: %w", err)
		}
		defer file.Close()
		raw, err := io.ReadAll(io.LimitReader(file, maxPasswordBytes))
		if err != nil {
			return "", model.Errorf(model.KindInvalid, "the password for the proxy cannot be read: %w", err)
		}
		return strings.TrimRight(string(raw), "\r\n"), nil
	}
	if in, isFile := c.in.(*os.File); !isFile || !term.IsTerminal(int(in.Fd())) {
		return "", usagef(cmd, "there is nobody to be asked for the password of %s at the proxy: give --proxy-password-file", p.user)
	}
	return c.askSecret(p.user+" at the proxy", false)
}
