package server

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"banyan/access"
	"banyan/backup"
	"banyan/model"
)

const (
	backupSuffix = ".banyan"
	// retryBackup is how long after one that failed the next is tried, where the schedule would wait longer.
	retryBackup = 10 * time.Minute
)

// run makes the backups that are due, until ctx ends.
func (b *backups) run(ctx context.Context) error {
	if kept := b.kept(); len(kept) > 0 {
		newest := kept[len(kept)-1]
		b.tell(func() { b.state, b.last, b.size = backupOK, newest.made.Std(), newest.size })
	}
	failed := time.Time{}
	for {
		wait := time.Duration(1<<63 - 1)
		if due, scheduled := b.due(failed); scheduled {
			if wait = due.Sub(b.node.cfg.Now()); wait <= 0 {
				failed = time.Time{}
				if _, err := b.now(ctx, access.Principal{}, nil); err != nil {
					failed = b.node.cfg.Now()
				}
				if ctx.Err() != nil {
					return nil
				}
				continue
			}
		}
		timer := time.NewTimer(min(wait, time.Hour)) // the clock may be set meanwhile
		select {
		case <-b.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// due is when the next backup is to be made, and whether there is a schedule.
func (b *backups) due(failed time.Time) (time.Time, bool) {
	every := b.node.systemSetting(settingBackupEvery).Duration()
	if b.node.systemSetting(settingBackupDir).Text() == "" || every <= 0 {
		return time.Time{}, false
	}
	last := time.Time{}
	if kept := b.kept(); len(kept) > 0 {
		last = kept[len(kept)-1].made.Std()
	}
	due := last.Add(every)
	if !last.IsZero() && b.rootSince(model.TimeOf(last)) {
		due = last
	}
	if now := b.node.cfg.Now(); last.After(now) {
		due = now.Add(every) // made while the clock was ahead
	}
	if !failed.IsZero() {
		due = later(due, failed.Add(min(every, retryBackup)))
	}
	return due, true
}

// rootSince reports whether the node's root was succeeded after a backup was made: a node that comes back with the older one is not taken by its peers.
func (b *backups) rootSince(made model.Time) bool {
	root := b.node.authority
	return root.Successions() > 0 && !root.IsProvisional() && model.TimeOf(root.Born().Add(time.Second)) > made // certificates tell whole seconds
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// now makes a backup in backup_dir; it is the function backup of /system.
func (b *backups) now(ctx context.Context, _ access.Principal, _ given) ([]model.Argument, error) {
	dir := b.node.systemSetting(settingBackupDir).Text()
	if dir == "" {
		return nil, &model.Error{
			Kind: model.KindUnsupported, Detail: "the node has no directory for backups",
			Remedy: "set " + systemPath.String() + ":" + settingBackupDir + ", or take one with `banyan backup --out FILE`",
		}
	}
	backup.Sweep(filepath.Join(dir, b.node.cfg.Name+"-*"+backupSuffix))
	name := b.node.cfg.Name + "-" + b.node.cfg.Now().UTC().Format("20060102T150405.000Z") + backupSuffix
	file := filepath.Join(dir, name)
	m, size, err := b.make(ctx, file, forDirectory)
	if err != nil {
		return nil, err
	}
	b.forget()
	return []model.Argument{
		{Name: "file", Value: model.String(file)}, {Name: "size", Value: model.Int64(size)}, {Name: "time", Value: model.Instant(m.Made)},
		{Name: "revision", Value: model.String(m.Revision.String())}, {Name: "recipient", Value: model.String(m.Recipient)},
	}, nil
}

// keptBackup is one of this node's backups in backup_dir.
type keptBackup struct {
	file string
	made model.Time
	size int64
}

// kept are the backups of this node in backup_dir, the newest last. Others' files there are none of its business.
func (b *backups) kept() []keptBackup {
	dir := b.node.systemSetting(settingBackupDir).Text()
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var kept []keptBackup
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), backupSuffix) || !e.Type().IsRegular() {
			continue
		}
		file := filepath.Join(dir, e.Name())
		header, err := backup.ReadHeader(file)
		info, failed := e.Info()
		if err == nil && failed == nil && header.Node == b.node.ID() {
			kept = append(kept, keptBackup{file, header.Made, info.Size()})
		}
	}
	slices.SortFunc(kept, func(x, y keptBackup) int { return x.made.Std().Compare(y.made.Std()) })
	return kept
}

// forget removes backups that are more than are to be kept, the oldest first.
func (b *backups) forget() {
	kept := b.kept()
	keep := max(1, int(b.node.systemSetting(settingBackupKeep).Int64()))
	for len(kept) > keep {
		if err := os.Remove(kept[0].file); err != nil {
			b.log.Warn("an old backup cannot be removed", "file", kept[0].file, "error", err)
			return
		}
		b.log.Info("an old backup is removed", "file", kept[0].file)
		kept = kept[1:]
	}
}
