package server

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"banyan/access"
	"banyan/backup"
	"banyan/model"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// Names of what /system has for backups.
const (
	settingBackupDir   = "backup_dir"
	settingBackupEvery = "backup_every"
	settingBackupKeep  = "backup_keep"

	variableBackupTime     = "backup_time"
	variableBackupState    = "backup_state"
	variableBackupSize     = "backup_size"
	variableBackupDetail   = "backup_detail"
	variableRecipient      = "recovery_recipient"
	variableRestored       = "restored"
	variableRestoredBackup = "restored_backup"

	functionBackup      = "backup"
	functionSetRecovery = "set_recovery"
)

var backupSettings = []model.Setting{
	{Name: settingBackupDir, Type: model.TypeString, Right: model.RightAdminister, Local: true,
		Description: "Directory of the host in which the node keeps backups of itself; empty for none. On another disk than the node's it is worth more."},
	{Name: settingBackupEvery, Type: model.TypeDuration, Right: model.RightAdminister, Local: true, Default: model.Duration(24 * time.Hour),
		Description: "How often a backup is made there, 1m at least; 0 for only when somebody calls backup."},
	{Name: settingBackupKeep, Type: model.TypeInt64, Right: model.RightAdminister, Local: true, Default: model.Int64(7),
		Description: "How many of them are kept, the newest, 1 to 1000."},
}

var backupVariables = []model.Variable{
	{Name: variableBackupTime, Type: model.TypeTime, Description: "When the newest backup was made that succeeded."},
	{Name: variableBackupState, Type: model.TypeString, Description: "none, making, ok, or failed: how the newest try ended."},
	{Name: variableBackupSize, Type: model.TypeInt64, Unit: "B", Description: "Of the newest backup that succeeded."},
	{Name: variableBackupDetail, Type: model.TypeString, Description: "How far one is that is being made, or why the newest one failed."},
	{Name: variableRecipient, Type: model.TypeString, Description: "Public half of the recovery key, by which backups are sealed. The node never has the other half."},
	{Name: variableRestored, Type: model.TypeTime, Description: "When this node was restored from a backup; no value where it never was."},
	{Name: variableRestoredBackup, Type: model.TypeTime, Description: "When the backup was made that it was restored from."},
}

var backupFunctions = []model.Function{{
	Name: functionBackup, Right: model.RightAdminister, Local: true, Description: "Makes a backup in backup_dir now.",
	Results: []model.Field{
		{Name: "file", Type: model.TypeString, Description: "Where it is."},
		{Name: "size", Type: model.TypeInt64, Unit: "B"},
		{Name: "time", Type: model.TypeTime, Description: "When it was made: everything that was confirmed before is in it."},
		{Name: "revision", Type: model.TypeString, Description: "The last one in it."},
		{Name: "recipient", Type: model.TypeString, Description: "Whose key opens it."},
	},
}, {
	Name: functionSetRecovery, Right: model.RightAdminister, Local: true, Idempotent: true,
	Description: "Lets backups be sealed to another recovery key from now on; `banyan recovery renew` draws one and calls this.",
	Parameters:  []model.Field{{Name: "recipient", Type: model.TypeString, Description: "Public half of the key; it begins with age1."}},
}}

// backups makes backups of the node: those that are due, and those that somebody asks for. One is made at a time.
type backups struct {
	node *Node
	log  hclog.Logger
	turn chan struct{} // capacity 1: full while one is made
	wake chan struct{} // capacity 1: settings changed

	mu     sync.Mutex // guards all below
	state  string
	detail string
	last   time.Time // when the newest was made that succeeded
	size   int64
	doing  string // how far one is that is being made; empty while none is
}

// purpose is what a backup is made for: whether it counts as the newest one. Where the node has a directory for backups only those there do, so that
// nothing else hides that they fail.
type purpose int

const (
	forDirectory purpose = iota
	forDownload
	forConsumers
)

// States of the newest backup.
const (
	backupNone   = "none"
	backupMaking = "making"
	backupOK     = "ok"
	backupFailed = "failed"
)

func newBackups(n *Node) *backups {
	backup.Tidy(n.cfg.Data)
	return &backups{node: n, log: n.log.Named("backup"), turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), state: backupNone}
}

// setRecovery is the function set_recovery of /system. Whoever has the key reads all that a backup holds, so that no part of the node is enough: else
// administer on /system would be the way to everybody's secrets.
func (b *backups) setRecovery(_ context.Context, who access.Principal, g given) ([]model.Argument, error) {
	everything := []access.Rule{{Pattern: model.Everything, Right: model.RightAdminister}}
	if err := b.node.policies.Decider().CanGrant(who, everything); err != nil {
		return nil, err
	}
	err := backup.SetRecipient(b.node.cfg.Data, g.text("recipient", ""))
	signal(b.node.measure)
	return nil, err
}

// source is the node as a backup sees it.
func (b *backups) source(recipient string) backup.Source {
	n := b.node
	return backup.Source{
		Node: n.ID(), Name: n.cfg.Name, Dir: n.cfg.Data, Config: n.cfg.source(), Program: n.cfg.Version, Recipient: recipient,
		Copy: n.store.CopyTo, Now: func() model.Time { return model.TimeOf(n.cfg.Now()) },
	}
}

// make makes a backup in a file, when it is its turn.
func (b *backups) make(ctx context.Context, file string, why purpose) (backup.Manifest, int64, error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return backup.Manifest{}, 0, ctx.Err()
	}
	m, size, err := b.produce(ctx, file, why)
	counts := why == forDirectory || why == forDownload && b.node.systemSetting(settingBackupDir).Text() == ""
	b.tell(func() {
		b.doing = ""
		switch {
		case !counts:
		case err != nil:
			b.state, b.detail = backupFailed, err.Error()
		default:
			b.state, b.detail, b.last, b.size = backupOK, m.AuditProblem, m.Made.Std(), size
		}
	})
	if err != nil {
		b.log.Error("a backup failed", "error", err)
		return m, 0, err
	}
	if m.AuditProblem != "" {
		b.log.Error("the audit log is not whole, and so it is in the backup", "problem", m.AuditProblem)
	}
	b.log.Info("backup made", "revision", m.Revision, "contexts", m.Contexts, "bytes", size)
	return m, size, nil
}

// produce makes a backup, and tells how far it is where people wait for it.
func (b *backups) produce(ctx context.Context, file string, why purpose) (backup.Manifest, int64, error) {
	recipient, err := backup.Recipient(b.node.cfg.Data)
	if err != nil {
		return backup.Manifest{}, 0, err
	}
	said := b.node.cfg.Now()
	m, err := backup.Make(ctx, b.source(recipient), file, func(p backup.Progress) {
		if now := b.node.cfg.Now(); why != forConsumers && now.Sub(said) >= backupTellEvery {
			said = now
			b.tell(func() { b.doing = progressText(p) })
		}
	})
	if err != nil {
		return m, 0, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return m, 0, err
	}
	return m, info.Size(), nil
}

// backupTellEvery is how often it is told how far a backup is.
const backupTellEvery = 250 * time.Millisecond

func progressText(p backup.Progress) string {
	if p.Total <= 0 {
		return p.Doing
	}
	return p.Doing + " " + model.Int64(100*p.Done/p.Total).String() + " %"
}

// tell changes what is shown, and shows it.
func (b *backups) tell(change func()) {
	b.mu.Lock()
	change()
	b.mu.Unlock()
	signal(b.node.measure)
}

// values are the variables of /system that tell of backups.
func (b *backups) values() map[string]model.Value {
	b.mu.Lock()
	defer b.mu.Unlock()
	none := model.Value{} // that there is none is known, and nothing to worry about
	values := map[string]model.Value{
		variableBackupState: model.String(b.state), variableBackupDetail: model.String(b.detail),
		variableBackupTime: none, variableBackupSize: none, variableRestored: none, variableRestoredBackup: none,
	}
	if b.doing != "" {
		values[variableBackupState], values[variableBackupDetail] = model.String(backupMaking), model.String(b.doing)
	}
	if !b.last.IsZero() {
		values[variableBackupTime], values[variableBackupSize] = model.Instant(model.TimeOf(b.last)), model.Int64(b.size)
	}
	recipient, _ := backup.Recipient(b.node.cfg.Data) // a damaged one is told when it is needed
	values[variableRecipient] = model.String(recipient)
	if restores := b.node.store.Restores(); len(restores) > 0 {
		newest := restores[len(restores)-1]
		values[variableRestored], values[variableRestoredBackup] = model.Instant(newest.Time), model.Instant(newest.Backup)
	}
	return values
}

// systemSetting is a setting of the node's own context.
func (n *Node) systemSetting(name string) model.Value {
	c, there := n.tree.Lookup(systemPath)
	if !there {
		return model.Value{}
	}
	return c.SettingNamed(name)
}

// observe wakes the schedule when its settings may have changed.
func (b *backups) observe(changed []tree.Context, _ []tree.Tombstone) {
	for i := range changed {
		if changed[i].Path == systemPath {
			signal(b.wake)
		}
	}
}

// checkBackupSettings refuses settings that cannot be meant.
func checkBackupSettings(p *Proposal) error {
	if v, given := p.Given(settingBackupDir); given && v.Text() != "" && !filepath.IsAbs(v.Text()) {
		return model.Errorf(model.KindInvalid, "%s is a whole path, which begins with /", settingBackupDir)
	}
	if v, given := p.Given(settingBackupDir); given && v.Text() != "" {
		if at, err := os.Stat(v.Text()); err != nil || !at.IsDir() {
			return &model.Error{
				Kind: model.KindInvalid, Detail: settingBackupDir + ": there is no directory " + v.Text() + " on this node's host, or the node may not see it",
				Remedy: "make it, as the user that the node runs as, and set it again",
			}
		}
	}
	if v, given := p.Given(settingBackupEvery); given && !v.IsNone() && v.Duration() != 0 && v.Duration() < time.Minute {
		return model.Errorf(model.KindInvalid, "%s is 1m at least, or 0 for never", settingBackupEvery)
	}
	if v, given := p.Given(settingSendEvery); given && !v.IsNone() && v.Duration() < time.Second {
		return model.Errorf(model.KindInvalid, "%s is 1s at least", settingSendEvery)
	}
	if v, given := p.Given(settingBackupKeep); given && !v.IsNone() && (v.Int64() < 1 || v.Int64() > 1000) {
		return model.Errorf(model.KindInvalid, "%s is 1 to 1000", settingBackupKeep)
	}
	return nil
}
