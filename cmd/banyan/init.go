package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"banyan/backup"
	"banyan/durable"
	"banyan/model"
	"banyan/pki"
	"banyan/server"

	"github.com/spf13/cobra"
)

// configName is the configuration file that init writes into a node's directory.
const configName = "node.yaml"

func newInit(c *cli) *cobra.Command {
	var dir, name, api, links, keyFile string
	var hosts []string
	cmd := &cobra.Command{
		Use:   "init --dir DIR --name NAME",
		Short: "Make a node, and print the administrator's password",
		Long: `Make the directory of a node: its identity, its database, its first administrator ("admin"), and node.yaml for "banyan
serve". The administrator's password is drawn and shown once, alone on standard output. The recovery key, which opens the
node's backups, is shown once on standard error, or written to --recovery-key; the node never has it. --host names
how people reach the node: its certificate is for these names and addresses.`,
		Example: `  banyan init --dir /var/lib/banyan --name berlin --host berlin.example
  banyan init --dir second --name second --api 127.0.0.1:8543 --links 127.0.0.1:7543    # beside another node
  banyan init --dir ./hq --name hq --api 0.0.0.0:8443 --links 0.0.0.0:7443 --host hq.example --host 10.0.0.5`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" || name == "" {
				return usagef(cmd, "a node needs --dir DIR and --name NAME")
			}
			if err := model.CheckName(name); err != nil {
				return usagef(cmd, "--name: %v", err)
			}
			for flag, address := range map[string]string{"--api": api, "--links": links} {
				if _, _, err := net.SplitHostPort(address); err != nil {
					return usagef(cmd, "%s: %q is not HOST:PORT", flag, address)
				}
			}
			return c.init(cmd, server.InitConfig{Dir: dir, Name: name, Hosts: reachedAt(api, hosts)}, keyFile, nodeFile(name, api, links))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", "", "directory to make the node in")
	flags.StringVar(&name, "name", "", "what people call the node")
	flags.StringSliceVar(&hosts, "host", nil, "name or address by which the API is reached (default this machine, and the address of --api where it is one); may be repeated")
	flags.StringVar(&api, "api", "127.0.0.1:8443", "where the API listens; each node of a machine needs a port of its own")
	flags.StringVar(&links, "links", "127.0.0.1:7443", "where links of other nodes are accepted, likewise")
	flags.StringVar(&keyFile, "recovery-key", "", "new `FILE` to write the recovery key to, in place of showing it")
	return cmd
}

// nodeFile is a configuration whose data is the folder that it lies in.
func nodeFile(name, api, links string) []byte {
	return fmt.Appendf(nil, "name: %s\ndata: .\nlisteners:\n  api: %s\n  links: %s\n", strconv.Quote(name), strconv.Quote(api), strconv.Quote(links))
}

func (c *cli) init(cmd *cobra.Command, cfg server.InitConfig, keyFile string, content []byte) error {
	key, err := backup.NewKey()
	if err != nil {
		return err
	}
	cfg.Recipient = key.Recipient()
	if keyFile != "" {
		if _, err := os.Lstat(keyFile); !errors.Is(err, fs.ErrNotExist) {
			return model.Errorf(model.KindExists, "%s is there already, and may hold a recovery key", keyFile)
		}
	}
	made, err := server.InitNode(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	file := filepath.Join(cfg.Dir, configName)
	if err := durable.Create(file, content, 0o600); err != nil && !errors.Is(err, fs.ErrExist) { // one that is there stays as it is
		return model.Errorf(model.KindInternal, "the node is made, but %s could not be written: %w", file, err)
	}
	if keyFile != "" {
		if err := writeNew(keyFile, []byte(key.Reveal()+"\n")); err != nil {
			return model.Errorf(model.KindInternal, "the node is made, but %s could not be written (draw another key with `banyan recovery renew`): %w", keyFile, err)
		}
	}
	if c.json {
		form := initJSON{cfg.Name, made.NodeID.String(), file, made.AdminName, made.Password, key.Reveal(), key.Recipient()}
		if keyFile != "" {
			form.Key = ""
		}
		return c.printJSON(form)
	}
	dir := clean(cfg.Dir)
	c.note("Node %s (%s) is made in %s. `banyan serve --dir %s` runs it; then", clean(cfg.Name), made.NodeID.Short(), dir, dir)
	c.note("  banyan login %s --ca %s --name %s", clean(loginAddress(content, cfg.Hosts)), clean(filepath.Join(cfg.Dir, "ca.pem")), made.AdminName)
	if keyFile != "" {
		c.note("The recovery key, without which no backup of the node can be opened, is in %s. Keep it apart from the node.", clean(keyFile))
	} else {
		c.note("This recovery key opens the node's backups; it is shown once and kept nowhere. Keep it apart from the node:\n  %s", key.Reveal())
	}
	c.note("The administrator's password, which is shown once and kept nowhere as well:")
	return c.printf("%s\n", made.Password)
}

type initJSON struct {
	Name      string `json:"name"`
	ID        string `json:"id"`
	Config    string `json:"config"`
	User      string `json:"user"`
	Password  string `json:"password"`
	Key       string `json:"recovery_key,omitempty"`
	Recipient string `json:"recovery_recipient"`
}

// loginAddress is how people reach the API.
func loginAddress(content []byte, hosts []string) string {
	file, err := server.ParseFile(configName, content)
	if err != nil {
		return "URL"
	}
	at := file.Listeners.API
	if len(hosts) > 0 {
		_, port, _ := net.SplitHostPort(at) // the file was checked
		return "https://" + net.JoinHostPort(hosts[0], port)
	}
	if host, port, err := net.SplitHostPort(at); err == nil && everywhere(host) {
		return "https://" + net.JoinHostPort("localhost", port)
	}
	return "https://" + at
}

// reachedAt is for which hosts the certificate is: those that are given, else this machine with the address at which the API listens, so that
// the node can be reached where it is told to be.
func reachedAt(api string, hosts []string) []string {
	host, _, err := net.SplitHostPort(api)
	if err != nil || len(hosts) > 0 || everywhere(host) || pki.CheckHost(host) != nil {
		return hosts
	}
	if slices.Contains(thisMachine, host) {
		return hosts
	}
	return append([]string{host}, thisMachine...)
}

// thisMachine are the hosts of a certificate where none are given.
var thisMachine = []string{"localhost", "127.0.0.1", "::1"}

// everywhere reports whether a host to listen at stands for all addresses of the machine.
func everywhere(host string) bool {
	at, err := netip.ParseAddr(host)
	return host == "" || err == nil && at.IsUnspecified()
}

// writeNew writes a file that is not there yet. It may lie on a stick, whose file system knows no links.
func writeNew(name string, content []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, durable.Sync(file), file.Close()); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(name))
}
