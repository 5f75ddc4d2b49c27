package server

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"banyan/doctor"
	"banyan/model"
	"banyan/pki"
	"banyan/store"
)

// Examine looks at the directory of a node that need not run: what can be seen from outside.
func Examine(ctx context.Context, f File) []doctor.Finding {
	found := doctor.Disk(f.Data)
	owner := -1
	if info, err := os.Stat(f.Data); err == nil {
		owner = ownerOf(info)
	}
	found = append(found, doctor.Files(nodeFiles(f.Data), owner)...)
	found = append(found, doctor.Clock(time.Now())...)
	examined, err := store.Examine(ctx, f.Data)
	found = append(found, layoutFound(&examined))
	found = append(found, offlineDatabase(ctx, err))
	if authority, err := pki.Look(f.Data); err != nil {
		found = append(found, doctor.Found("root", doctor.Failed, "restore it from a backup of this node", "%v", err))
	} else {
		found = append(found, doctor.Certificate("root", authority, time.Now(), rootDue, rootRemedy))
	}
	for _, l := range []struct{ what, setting, address string }{{"API", "listeners.api", f.Listeners.API}, {"links", "listeners.links", f.Listeners.Links}} {
		found = append(found, listenable(l.what, l.setting, l.address, examined.Running))
	}
	return found
}

func offlineDatabase(ctx context.Context, err error) doctor.Finding {
	f := databaseFound(ctx, err, 0)
	if f.State == doctor.OK {
		f.Detail = "its structure is whole"
	}
	return f
}

func layoutFound(e *store.Examined) doctor.Finding {
	sqlite, err := store.SQLiteVersion()
	switch {
	case err != nil:
		return doctor.Found("versions", doctor.Failed, "use a build with a newer SQLite", "%v", err)
	case e.Layout > e.Newest:
		return doctor.Found("versions", doctor.Failed, "use the newer version of the program", "the database has layout %d, this program knows %d", e.Layout, e.Newest)
	case e.Layout < e.Newest:
		return doctor.Good("versions", "SQLite %s; the next start brings the database from layout %d to %d", sqlite, e.Layout, e.Newest)
	}
	return doctor.Good("versions", "SQLite %s, database of layout %d", sqlite, e.Layout)
}

// listenable looks whether a listener's address is free, or the node's that runs.
func listenable(what, setting, address, running string) doctor.Finding {
	l, err := net.Listen("tcp", address)
	if err == nil {
		_ = l.Close()
	}
	check := "port of " + what
	switch {
	case err == nil && running != "":
		return doctor.Found(check, doctor.Failed, "look in the log of the node", "the process %s has the directory open and does not listen on %s", running, address)
	case err == nil:
		return doctor.Good(check, "%s is free", address)
	case running != "":
		return doctor.Good(check, "%s is in use, and the process %s runs the node", address, running)
	}
	var told *model.Error
	_ = errors.As(cannotListen(what, setting, address, err), &told)
	return doctor.Found(check, doctor.Failed, told.Remedy, "%s", told.Detail)
}
