package server

import (
	"context"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"time"

	"banyan/access"
	"banyan/doctor"
	"banyan/model"
	"banyan/pki"
	"banyan/store"
)

const functionDoctor = "doctor"

var doctorFunctions = []model.Function{{
	Name: functionDoctor, Right: model.RightAdminister, Idempotent: true,
	Description: "Looks whether the node and its machine are in order: disk, files, clock, limits, certificates, ports, database, backup, links, devices.",
	Results: []model.Field{
		{Name: "state", Type: model.TypeString, Description: "The worst of all: ok, unknown, warning or failed."},
		{Name: "checks", Type: model.TypeTable, Description: "What was looked at, how it is, and what to do."},
	},
}}

const (
	// quickCheckWithin bounds reading the database, which takes long where it is large.
	quickCheckWithin = 8 * time.Second
	// reachWithin bounds a connection to the node's own listeners.
	reachWithin = 2 * time.Second
	// rootDue is how early people want to know that the node's root ends; leaves renew themselves at two thirds of their life.
	rootDue    = 180 * 24 * time.Hour
	rootRemedy = "call `banyan identity rotate`; the node does it by itself while a linked node vouches for its clock"
	ownDue     = 14 * 24 * time.Hour
	// mostNamed is how many links or devices of one state are named.
	mostNamed = 5
)

// doctor examines the node for somebody.
func (n *Node) doctor(ctx context.Context, by access.Principal, _ given) ([]model.Argument, error) {
	found := n.examine(ctx, by)
	return []model.Argument{
		{Name: "state", Value: model.String(string(doctor.Worst(found)))}, {Name: "checks", Value: findingsTable(found)},
	}, nil
}

func findingsTable(found []doctor.Finding) model.Value {
	t := &model.Table{Columns: []model.Column{
		{Name: "check", Type: model.TypeString}, {Name: "state", Type: model.TypeString}, {Name: "detail", Type: model.TypeString}, {Name: "remedy", Type: model.TypeString},
	}}
	for _, f := range found {
		t.Rows = append(t.Rows, []model.Value{model.String(f.Check), model.String(string(f.State)), model.String(f.Detail), model.String(f.Remedy)})
	}
	return model.TableValue(t)
}

// examine makes all checks. Links and devices are named to whoever may see them.
func (n *Node) examine(ctx context.Context, by access.Principal) []doctor.Finding {
	now := n.cfg.Now()
	found := doctor.Disk(n.cfg.Data)
	if since := n.solo.FullSince(); since != 0 {
		found = append(found, doctor.Found("disk", doctor.Failed, "make room on it: everything goes on by itself then", "it is full since %s: nothing is kept", since))
	}
	found = append(found, doctor.Files(nodeFiles(n.cfg.Data), os.Geteuid())...)
	found = append(found, doctor.Clock(now)...)
	found = append(found, n.jumps.Findings(now)...)
	found = append(found, n.versions()...)
	found = append(found, n.database(ctx))
	found = append(found, doctor.OpenFiles(), doctor.Memory())
	found = append(found, n.ceilingsFound()...)
	if len(n.ownOf("ping")) > 0 {
		found = append(found, doctor.Ping())
	}
	found = append(found, n.rootFound(now))
	found = append(found, n.apiCertificates(now)...)
	found = append(found, n.reachable(ctx, "API", n.APIAddress()), n.reachable(ctx, "links", n.LinksAddress()))
	found = append(found, n.backedUp(now)...)
	found = append(found, n.linksFound(by)...)
	return append(found, n.devicesFound(by)...)
}

// rootFound judges the node's root.
func (n *Node) rootFound(now time.Time) doctor.Finding {
	if n.authority.IsProvisional() {
		return doctor.Found("root", doctor.Failed, "look at the clock; `banyan invite --again LINK` at each other node, and `banyan join TOKEN` here",
			"it has expired, or the clock is wrong: other nodes do not take this one")
	}
	left := min(rootDue, n.authority.Root().NotAfter.Sub(n.authority.DueAt(n.cfg.Certificates.Root))/2)
	return doctor.Certificate("root", n.authority.Root(), now, left, rootRemedy)
}

// nodeFiles are the files of a node that others must not read.
func nodeFiles(dir string) []doctor.File {
	files := []doctor.File{{Path: dir, Most: 0o700, Needed: true}}
	for _, name := range []string{pki.RootFile, pki.SecretFile, "node.db"} {
		files = append(files, doctor.File{Path: filepath.Join(dir, name), Most: 0o600, Needed: true})
	}
	return append(files, doctor.File{Path: filepath.Join(dir, pki.APIFile), Most: 0o600})
}

func (n *Node) versions() []doctor.Finding {
	version := n.cfg.Version
	if version == "" {
		version = "one that tells no version"
	}
	sqlite, err := store.SQLiteVersion()
	if err != nil {
		return []doctor.Finding{doctor.Found("versions", doctor.Failed, "use a build with a newer SQLite", "%v", err)}
	}
	return []doctor.Finding{doctor.Good("versions", "banyan %s, SQLite %s, database of layout %d", version, sqlite, n.store.Layout())}
}

func (n *Node) database(ctx context.Context) doctor.Finding {
	ctx, cancel := context.WithTimeout(ctx, quickCheckWithin)
	defer cancel()
	began := time.Now()
	err := n.store.QuickCheck(ctx)
	return databaseFound(ctx, err, time.Since(began))
}

func databaseFound(ctx context.Context, err error, took time.Duration) doctor.Finding {
	switch {
	case ctx.Err() != nil:
		return doctor.Found("database", doctor.Unknown, "stop the node and use `banyan doctor --dir`", "it was not read to its end within %s", quickCheckWithin)
	case err != nil:
		return doctor.Found("database", doctor.Failed, "stop the node and restore the newest backup", "%v", err)
	}
	return doctor.Good("database", "its structure is whole (read in %s)", took.Round(time.Millisecond))
}

// apiCertificates judges what people see when they connect.
func (n *Node) apiCertificates(now time.Time) []doctor.Finding {
	held := n.certifier.Load()
	if held == nil {
		return []doctor.Finding{doctor.Found("API certificate", doctor.Unknown, "", "the API does not serve yet")}
	}
	certificate, err := (*held).GetCertificate(nil)
	if err != nil || len(certificate.Certificate) == 0 {
		return []doctor.Finding{doctor.Found("API certificate", doctor.Failed, "look at the files of the certificate", "there is none: %v", err)}
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		return []doctor.Finding{doctor.Found("API certificate", doctor.Failed, "look at the files of the certificate", "%v", err)}
	}
	remedy, due := "look in the log why it was not renewed", leaf.NotAfter.Sub(leaf.NotBefore)/4
	if n.cfg.API.Certificate != "" {
		remedy, due = "renew "+n.cfg.API.Certificate+"; the node notices by itself", ownDue
	}
	return []doctor.Finding{doctor.Certificate("API certificate", leaf, now, due, remedy), doctor.Names(leaf, apiHosts(n.tree))}
}

// reachable connects to one of the node's own listeners.
func (n *Node) reachable(ctx context.Context, what, address string) doctor.Finding {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	target := here(address)
	dial := n.cfg.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	}
	conn, err := dial(ctx, target)
	if err != nil {
		return doctor.Found("port of "+what, doctor.Failed, "look whether a firewall of this machine is in the way", "nobody answers at %s: %v", target, err)
	}
	_ = conn.Close()
	return doctor.Good("port of "+what, "it listens on %s", address)
}

// here is an address of a listener as this machine itself reaches it.
func here(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return address
}
