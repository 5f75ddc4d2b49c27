package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"banyan/durable"
	"banyan/model"
)

const defaultProfile = "default"

// profile is where somebody is logged in, kept in a file that only they can read.
type profile struct {
	URL     string `json:"url"`
	CA      string `json:"ca,omitempty"`      // PEM; empty: whom the machine trusts
	CAFile  string `json:"ca_file,omitempty"` // where it came from, for messages
	User    string `json:"user"`
	Node    string `json:"node,omitempty"` // how the node calls itself
	Token   string `json:"token"`
	Expires string `json:"expires,omitempty"`
}

// resolve finds the node that the flags mean.
func (c *cli) resolve() (*target, error) {
	if c.net != "" {
		if c.profile != "" {
			return nil, usageError{"--net and --profile each name a node: give one of them", "banyan"}
		}
		n, err := openNetwork(c.net)
		if err != nil {
			return nil, err
		}
		return n.target(c.node, c.user)
	}
	if c.node != "" || c.user != "" {
		return nil, usageError{"--node and --user go with --net; a profile says both itself", "banyan"}
	}
	name := c.profile
	if name == "" {
		name = defaultProfile
	}
	p, err := readProfile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, c.noProfile(name)
	}
	if err != nil {
		return nil, model.Errorf(model.KindInvalid, "profile %s: %w", name, err)
	}
	return p.target(name), nil
}

func (c *cli) noProfile(name string) error {
	if c.profile == "" {
		return usageError{"which node? Give --net DIR --node NAME, or log in once with `banyan login URL`", "banyan"}
	}
	detail := "there is no profile " + name
	if names := profileNames(); len(names) > 0 {
		detail += "; there are " + strings.Join(names, ", ")
	}
	return &model.Error{Kind: model.KindNotFound, Detail: detail, Remedy: "`banyan login URL --profile " + name + "` makes it"}
}

// target is the node of a profile.
func (p *profile) target(name string) *target {
	t := &target{what: "profile " + name, url: p.URL, caFrom: p.CAFile, hint: "is the node running?", logins: &profileLogins{p, name}}
	if p.Node != "" {
		t.what = "node " + p.Node
	}
	if p.CA != "" {
		t.ca = []byte(p.CA)
	}
	return t
}

// profileLogins has the token of a profile. A password is not kept, so that only a person can renew it.
type profileLogins struct {
	profile *profile
	name    string
}

func (l *profileLogins) token() string { return l.profile.Token }

func (l *profileLogins) renew(context.Context, *client) (string, error) {
	again := "banyan login " + l.profile.URL
	if l.profile.User != "" {
		again += " --name " + l.profile.User
	}
	if l.profile.CAFile != "" {
		again += " --ca " + l.profile.CAFile
	}
	if l.name != defaultProfile {
		again += " --profile " + l.name
	}
	detail := fmt.Sprintf("the session of profile %s has ended", l.name)
	if l.profile.Token == "" {
		detail = fmt.Sprintf("nobody is logged in with profile %s", l.name)
	}
	return "", &model.Error{Kind: model.KindUnauthenticated, Detail: detail, Remedy: "log in again: " + again}
}

// profileDir is the folder of the profiles.
func profileDir() (string, error) {
	if dir := os.Getenv("BANYAN_CONFIG"); dir != "" {
		return dir, nil
	}
	base, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("set BANYAN_CONFIG: %w", err)
	}
	return filepath.Join(base, "banyan"), nil
}

func profileFile(name string) (string, error) {
	if err := model.CheckName(name); err != nil {
		return "", fmt.Errorf("the name of a profile: %w", err)
	}
	dir, err := profileDir()
	return filepath.Join(dir, name+".json"), err
}

// profileNames are the profiles that there are.
func profileNames() []string {
	dir, err := profileDir()
	if err != nil {
		return nil
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.json")) // the pattern is valid
	var names []string
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".json"))
	}
	return names
}

func readProfile(name string) (*profile, error) {
	file, err := profileFile(name)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p := &profile{}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", file, err)
	}
	p.URL, err = apiURL(p.URL)
	return p, err
}

// write keeps the profile.
func (p *profile) write(name string) error {
	file, err := profileFile(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	encoded, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(file, append(encoded, '\n'), 0o600)
}
