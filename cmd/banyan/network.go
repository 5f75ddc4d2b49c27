package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"banyan/durable"
	"banyan/model"
)

// adminName is as whom one acts in a network where --user does not say otherwise.
const adminName = "admin"

// network is what `banyan topology up` left in a folder, as far as the command line needs it.
type network struct {
	dir   string
	Nodes map[string]struct {
		API string `json:"api"` // HOST:PORT or a URL
	} `json:"nodes"`
}

// openNetwork reads DIR/network.json.
func openNetwork(dir string) (*network, error) {
	n := &network{dir: dir}
	raw, err := os.ReadFile(filepath.Join(dir, "network.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &model.Error{
			Kind: model.KindNotFound, Detail: "there is no network in " + dir + ": it has no network.json",
			Remedy: "`banyan topology up FILE --dir " + dir + "` makes one",
		}
	}
	if err == nil {
		err = json.Unmarshal(raw, n)
	}
	if err != nil {
		return nil, model.Errorf(model.KindCorrupt, "the network in %s cannot be read: %w", dir, err)
	}
	return n, nil
}

func (n *network) names() []string { return slices.Sorted(maps.Keys(n.Nodes)) }

// target is a node of the network, by name; without one, the only node there is.
func (n *network) target(node, user string) (*target, error) {
	if names := n.names(); node == "" && len(names) == 1 {
		node = names[0]
	}
	there := "the nodes there are " + strings.Join(n.names(), ", ")
	if node == "" {
		return nil, usageError{"--net needs --node: " + there, "banyan"}
	}
	found, known := n.Nodes[node]
	if !known {
		return nil, &model.Error{Kind: model.KindNotFound, Detail: fmt.Sprintf("the network in %s has no node %s", n.dir, node), Remedy: there}
	}
	url, err := apiURL(found.API)
	if err != nil {
		return nil, model.Errorf(model.KindCorrupt, "network.json of %s: node %s: %w", n.dir, node, err)
	}
	caFile := filepath.Join(n.dir, "nodes", node, "ca.pem")
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, model.Errorf(model.KindNotFound, "the certificate of node %s is missing: %w", node, err)
	}
	if user == "" {
		user = adminName
	}
	if err := model.CheckName(user); err != nil { // it becomes part of the name of a file
		return nil, usageError{"--user: " + err.Error(), "banyan"}
	}
	return &target{
		what: "node " + node + " of " + n.dir, url: url, ca: ca, caFrom: caFile,
		hint:   "is it running? `banyan topology status --dir " + n.dir + "` tells",
		logins: &networkLogins{network: n, node: node, user: user},
	}, nil
}

// networkLogins logs in with the passwords that the network keeps, and keeps the session beside them.
type networkLogins struct {
	network    *network
	node, user string
}

func (l *networkLogins) secret(end string) string {
	return filepath.Join(l.network.dir, "secrets", end)
}

func (l *networkLogins) sessionFile() string { return l.secret(l.node + "." + l.user + ".session") }

func (l *networkLogins) token() string {
	raw, err := os.ReadFile(l.sessionFile())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

func (l *networkLogins) renew(ctx context.Context, at *client) (string, error) {
	password, err := l.password()
	if err != nil {
		return "", err
	}
	session, err := at.login(ctx, l.user, password)
	if err != nil {
		return "", err
	}
	if err := durable.Replace(l.sessionFile(), []byte(session.GetToken()+"\n"), 0o600); err != nil {
		return "", model.Errorf(model.KindInternal, "the session cannot be kept: %w", err)
	}
	return session.GetToken(), nil
}

// passwordFile is where the network keeps somebody's password.
func (l *networkLogins) passwordFile(user string) string {
	if user == adminName {
		return l.secret(l.node)
	}
	return l.secret(l.node + "." + user)
}

// replace keeps a new password where the network keeps the old one; of others it keeps none.
func (l *networkLogins) replace(user, password string) error {
	file := l.passwordFile(user)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return durable.Replace(file, []byte(password+"\n"), 0o600)
}

func (l *networkLogins) password() (string, error) {
	raw, err := os.ReadFile(l.passwordFile(l.user))
	if errors.Is(err, fs.ErrNotExist) {
		return "", &model.Error{
			Kind: model.KindUnauthenticated, Detail: fmt.Sprintf("the network keeps no password of user %s for node %s", l.user, l.node),
			Remedy: "--user names one whom the topology names, or use `banyan login`",
		}
	}
	if err != nil {
		return "", model.Errorf(model.KindUnauthenticated, "the password of user %s for node %s: %w", l.user, l.node, err)
	}
	return strings.TrimSpace(string(raw)), nil
}
