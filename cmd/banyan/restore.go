package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"banyan/backup"
	"banyan/model"
	"banyan/peering"
	"banyan/server"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// maxKeyFile bounds a file with a recovery key, which may have comments.
const maxKeyFile = 4 << 10

func newRestore(c *cli) *cobra.Command {
	var dir, keyFile, api, links string
	var proxy proxyFlags
	cmd := &cobra.Command{
		Use:   "restore FILE|TOKEN --dir DIR",
		Short: "Bring a node back from a backup",
		Long: `Bring a node back from a backup, in a directory that is empty or not there yet: same ID, same keys, same settings. The
backup is a file that "banyan backup" made, or the one that another node keeps: TOKEN is what "banyan recover"
printed there, - reads it from standard input.
"banyan serve --dir DIR" starts it, with an epoch of its own, and its links come back by themselves. The recovery
key is read from --key-file, asked for, or read from standard input; it never is an argument. What was confirmed
after the backup is not in it, and what was revoked after it holds again: look at users, tokens and links.`,
		Example: `  banyan restore berlin.banyan --dir /var/lib/banyan --key-file berlin.key
  banyan restore - --dir /var/lib/banyan --key-file berlin.key < token
  banyan restore berlin.banyan --dir new --api 127.0.0.1:8543 --links 127.0.0.1:7543 < berlin.key`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				return usagef(cmd, "give --dir DIR, the node's new directory")
			}
			from := args[0]
			if from == "-" {
				if keyFile == "" {
					return usagef(cmd, "the token comes from standard input, so that the key needs --key-file")
				}
				var err error
				if from, err = c.readInput(); err != nil {
					return err
				}
			}
			key, err := c.recoveryKey(keyFile)
			if err != nil {
				return err
			}
			fetch, err := proxy.fetch(c, cmd, strings.TrimSpace(from))
			if err != nil {
				return err
			}
			return c.restore(cmd, from, fetch, backup.Restoring{Dir: dir, Key: key, API: api, Links: links, Now: func() model.Time { return model.TimeOf(time.Now()) }})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", "", "`DIR` to restore to; it must be empty or not there")
	flags.StringVar(&keyFile, "key-file", "", "`FILE` with the recovery key")
	flags.StringVar(&api, "api", "", "`HOST:PORT` for people, in place of the one in the backup")
	flags.StringVar(&links, "links", "", "`HOST:PORT` for other nodes, likewise")
	proxy.add(cmd)
	return cmd
}

// restore restores from a file, or from a token: the backup is fetched then into a place beside the target, and removed after.
func (c *cli) restore(cmd *cobra.Command, file string, fetch *server.Fetch, r backup.Restoring) error {
	shown := c.progress()
	r.Tell = shown.of
	if fetch != nil {
		if err := backup.CheckBare(r.Dir); err != nil {
			return err // before the token is used
		}
		parent, err := filepath.Abs(filepath.Dir(r.Dir))
		if err == nil {
			err = os.MkdirAll(parent, 0o755)
		}
		if err == nil {
			fetch.Dir, err = os.MkdirTemp(parent, ".banyan-fetched-*")
		}
		if err != nil {
			return about("restore", err)
		}
		defer os.RemoveAll(fetch.Dir)
		fetch.Key, fetch.Tell = r.Key, shown.of
		file, err = server.FetchBackup(cmd.Context(), *fetch)
		shown.end()
		if err != nil {
			return about("fetch the backup", err)
		}
	}
	done, err := backup.Restore(cmd.Context(), file, r)
	shown.end()
	if err != nil {
		return about("restore", err)
	}
	if c.json {
		return c.printJSON(struct {
			Dir      string         `json:"dir"`
			Node     model.NodeID   `json:"node"`
			Name     string         `json:"name"`
			Made     model.Time     `json:"made"`
			Revision model.Revision `json:"revision"`
			Contexts int            `json:"contexts"`
			Config   string         `json:"config"`
			Restore  string         `json:"restore"`
		}{r.Dir, done.Node, done.Name, done.Made, done.Revision, done.Contexts, done.Config, done.Restore.ID.String()})
	}
	c.note("What was confirmed after %s is not here, and what was revoked after it holds again: look at users, tokens and links.", done.Made.Std().Format(time.RFC3339))
	return c.printf("restored %s (%s) of %s in %s; `banyan serve --dir %s` runs it\n",
		clean(done.Name), done.Node.Short(), done.Made.Std().Format(time.RFC3339), clean(r.Dir), clean(r.Dir))
}

// about says of an error what was being done, where it does not say so itself.
func about(op string, err error) error {
	var e *model.Error
	if !errors.As(err, &e) {
		return &model.Error{Kind: model.KindOf(err), Op: op, Err: err}
	}
	told := *e
	if told.Op == "" {
		told.Op = op
	}
	return &told
}

// recoveryKey reads the recovery key: from a file, from a person who types it unseen, or from standard input.
func (c *cli) recoveryKey(file string) (backup.Key, error) {
	if file != "" {
		return readKeyFile(file)
	}
	var text string
	var err error
	if in, isFile := c.in.(*os.File); isFile && term.IsTerminal(int(in.Fd())) {
		_, _ = c.errs.Write([]byte("Recovery key: "))
		var typed []byte
		typed, err = term.ReadPassword(int(in.Fd()))
		text = string(typed)
		_, _ = c.errs.Write([]byte("\n"))
	} else {
		text, err = c.readInput()
	}
	if err != nil {
		return backup.Key{}, err
	}
	return backup.ParseKey(text)
}

func readKeyFile(name string) (backup.Key, error) {
	file, err := os.Open(name)
	if err != nil {
		return backup.Key{}, &model.Error{Kind: model.KindNotFound, Op: "read the recovery key", Err: err}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil || len(text) > maxKeyFile {
		return backup.Key{}, errors.Join(err, model.Errorf(model.KindInvalid, "%s is no file with a recovery key", filepath.Base(name)))
	}
	return backup.ParseKey(strings.TrimSpace(string(text)))
}

var tokenForm = regexp.MustCompile(`^banyan[0-9]+\.`)

// fetch is how the backup is fetched that a token is for; nil where it is a file.
func (p *proxyFlags) fetch(c *cli, cmd *cobra.Command, from string) (*server.Fetch, error) {
	if _, err := os.Stat(from); err == nil || !tokenForm.MatchString(from) {
		return nil, nil //nolint:nilnil // there is nothing to fetch
	}
	f := &server.Fetch{Token: from, Proxy: peering.Proxy{URL: p.url, User: p.user}}
	if p.user == "" && p.file == "" {
		return f, nil
	}
	if p.url == "" || p.user == "" {
		return nil, usagef(cmd, "--proxy-user goes with --proxy, and --proxy-password-file with both")
	}
	var err error
	f.Proxy.Password, err = p.password(c, cmd)
	return f, err
}
