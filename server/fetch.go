package server

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"banyan/backup"
	"banyan/model"
	"banyan/peering"
	"banyan/peering/dialing"
	"banyan/pki"

	"github.com/hashicorp/go-hclog"
)

// Fetch says which kept backup is fetched.
type Fetch struct {
	Token string // that the node made which keeps it
	Proxy peering.Proxy
	Key   backup.Key
	// Dir is a directory with room for the backup. What Fetch makes in it is removed when it fails.
	Dir  string
	Tell backup.Tell
}

// FetchBackup gets the backup that another node keeps, by a token that it made and the recovery key that opens it, and returns the file. Who asks
// shows an identity that is made for this and forgotten: the one of the node lies in the backup.
func FetchBackup(ctx context.Context, f Fetch) (file string, err error) {
	token, err := pki.ParseToken(f.Token)
	if err != nil {
		return "", err
	}
	if !token.Recovery {
		return "", &model.Error{
			Kind: model.KindInvalid, Detail: "this is an invitation to a link, not a token for a backup", Remedy: "`banyan recover LINK` at the node that keeps the backup makes one",
		}
	}
	if err := token.CheckExpiry(time.Now()); err != nil {
		return "", err
	}
	if err := checkProxy(f.Proxy.URL, f.Proxy.User); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp("", "banyan-fetch-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	authority, err := pki.Create(scratch, "recovery", time.Now())
	if err != nil {
		return "", err
	}
	leaf, err := authority.LinkLeaf(pki.LeafConfig{Lifetime: time.Hour})
	if err != nil {
		return "", err
	}
	hub := peering.NewHub(peering.HubConfig{Certificate: leaf.Current, Dial: dialing.New(dialing.Config{}), Logger: hclog.NewNullLogger()})
	file = filepath.Join(f.Dir, ".fetched"+backupSuffix)
	err = backup.PutFile(file, func(to *os.File) error {
		return hub.Fetch(ctx, peering.Fetching{
			Token: token, Proxy: f.Proxy, Self: authority.ID(), Answer: f.Key.Answer,
			Begin: func(size int64) (io.Writer, error) { return &fetched{to: to, total: size, tell: f.Tell}, nil },
			Done:  to.Sync,
		})
	})
	return file, err
}

// fetched tells how much has come.
type fetched struct {
	to          io.Writer
	done, total int64
	tell        backup.Tell
}

// Write takes what comes.
func (f *fetched) Write(b []byte) (int, error) {
	n, err := f.to.Write(b)
	f.done += int64(n)
	if f.tell != nil {
		f.tell(backup.Progress{Doing: "fetching", Done: f.done, Total: f.total})
	}
	return n, err
}
