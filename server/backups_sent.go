package server

import (
	"context"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"crypto/sha256"

	"banyan/backup"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// settingSendEvery is how often backups are made for those who keep them.
const settingSendEvery = "backup_up_every"

var sendSettings = []model.Setting{{
	Name: settingSendEvery, Type: model.TypeDuration, Right: model.RightAdminister, Default: model.Duration(10 * time.Minute),
	Description: "The least time between two backups that are made for consumers to keep, 1s at least. One is made when settings have changed, and once a day.",
}}

const (
	// sendAnew is after how long a backup is made though nothing has changed: the audit log has gone on.
	sendAnew = 24 * time.Hour
	// sendLook is how often it is looked whether there is something to do.
	sendLook = 15 * time.Second
	// sendFirst is how long a node that was just started waits: there is more important to be told.
	sendFirst = 30 * time.Second
)

// sent makes the backups that consumers keep for this node, one for all of them, in a file that the next one replaces.
type sent struct {
	backups *backups
	links   *links
	log     hclog.Logger
	file    string
	wake    chan struct{} // capacity 1: settings changed

	mu      sync.Mutex // guards all below
	failed  time.Time  // when making one failed, zero while none did
	header  backup.Header
	sum     []byte // of the file, nil for none
	size    int64
	kept    map[string]model.Time // by link: when the newest one was made that is kept there
	problem map[string]string     // by link: why the newest one is not
}

var _ peering.BackupSource = (*sent)(nil)

func newSent(b *backups, l *links) *sent {
	return &sent{
		backups: b, links: l, log: b.log, file: filepath.Join(b.node.cfg.Data, "outgoing"+backupSuffix), wake: make(chan struct{}, 1),
		kept: map[string]model.Time{}, problem: map[string]string{},
	}
}

// run makes backups when they are due and tells the links, until ctx ends.
func (s *sent) run(ctx context.Context) error {
	if err := s.load(); err != nil {
		s.log.Warn("the backup for consumers is made anew", "error", err)
	}
	due := time.Now().Add(min(sendFirst, s.every()))
	for {
		timer := time.NewTimer(min(time.Until(due), s.every()))
		select {
		case <-timer.C:
			s.look(ctx)
			due = time.Now().Add(sendLook)
		case <-s.wake: // the interval may be another
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// observe wakes the loop when its settings may have changed.
func (s *sent) observe(changed []tree.Context, _ []tree.Tombstone) {
	for i := range changed {
		if changed[i].Path == systemPath {
			signal(s.wake)
		}
	}
}

func (s *sent) every() time.Duration {
	return max(time.Second, s.backups.node.systemSetting(settingSendEvery).Duration())
}

// look makes a backup if one is due and somebody is there to keep it, and reminds the links that do not have it.
func (s *sent) look(ctx context.Context) {
	to := s.receivers()
	if len(to) == 0 {
		return
	}
	if s.due() {
		if err := s.make(ctx); err != nil {
			s.log.Warn("no backup for consumers could be made", "error", err)
			return
		}
	}
	s.mu.Lock()
	var missing []string
	for _, link := range to {
		if s.sum != nil && s.kept[link] != s.header.Made && s.problem[link] == "" {
			missing = append(missing, link)
		}
	}
	s.mu.Unlock()
	for _, link := range missing {
		s.links.hub.BackupReady(link)
	}
}

// receivers are the links whose consumers are to keep backups, and may be reached.
func (s *sent) receivers() []string {
	var links []string
	for _, c := range directlyBelow(s.links.tree, linksPath) {
		if c.Schema.Kind != KindLink || roleOf(&c) != pki.RoleProvider || !c.SettingNamed(settingBackupUp).Bool() {
			continue
		}
		status, there := s.links.hub.Status(c.Path.Base())
		if there && (status.State == peering.StateUp || status.State == peering.StateStalled) {
			links = append(links, c.Path.Base())
		}
	}
	return links
}

// due reports whether there is more to keep than the newest backup has.
func (s *sent) due() bool {
	recipient, err := backup.Recipient(s.backups.node.cfg.Data)
	if err != nil || recipient == "" {
		return false
	}
	s.mu.Lock()
	made, header, failed := s.sum != nil, s.header, s.failed
	s.mu.Unlock()
	if !failed.IsZero() && s.backups.node.cfg.Now().Sub(failed) < s.every() {
		return false // a full disk is not filled with tries
	}
	age := s.backups.node.cfg.Now().Sub(header.Made.Std())
	switch {
	case !made, header.Recipient != recipient, age < 0, age > sendAnew, s.backups.rootSince(header.Made):
		return true
	}
	return age >= s.every() && s.backups.node.store.LastChange() != header.Change
}

func (s *sent) make(ctx context.Context) error {
	_, _, err := s.backups.make(ctx, s.file, forConsumers)
	s.mu.Lock()
	s.failed = time.Time{}
	if err != nil {
		s.failed = s.backups.node.cfg.Now()
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.load()
}

// load reads what the newest backup is.
func (s *sent) load() error {
	file, err := os.Open(s.file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return err
	}
	header, err := backup.ReadHeader(s.file)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if header.Node != s.backups.node.ID() {
		return model.Errorf(model.KindCorrupt, "it is of another node")
	}
	s.header, s.sum, s.size = header, sum.Sum(nil), size
	clear(s.problem)
	return nil
}

// Backup is what is to be kept over a link.
func (s *sent) Backup(link string) (peering.Backup, bool) {
	wanted := false
	for _, to := range s.receivers() {
		wanted = wanted || to == link
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !wanted || s.sum == nil {
		return peering.Backup{}, false
	}
	return peering.Backup{Sum: s.sum, Size: s.size, Open: func() (io.ReadSeekCloser, error) { return os.Open(s.file) }}, true
}

// Sent notes that the consumer of a link keeps a backup, or why it does not.
func (s *sent) Sent(link string, sum []byte, err error) {
	s.mu.Lock()
	if hex.EncodeToString(sum) == hex.EncodeToString(s.sum) {
		delete(s.problem, link)
		if err == nil {
			s.kept[link] = s.header.Made
		} else {
			s.problem[link] = clip(err.Error(), mostShown)
		}
	}
	s.mu.Unlock()
	if err != nil {
		s.log.Warn("a backup is not kept by a consumer", "link", link, "error", err)
	} else {
		s.log.Info("a backup is kept by a consumer", "link", link)
	}
	path, bad := linksPath.Child(link)
	if bad != nil {
		return
	}
	if c, there := s.links.tree.Lookup(path); there && c.Schema.Kind == KindLink {
		s.links.publishValues(&c, s.values(link))
	}
}

// values are the variables of a link that tell of the backup that its consumer keeps.
func (s *sent) values(link string) map[string]model.Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := map[string]model.Value{}
	if at := s.kept[link]; at != 0 {
		values[variableSentBackup] = model.Instant(at)
	}
	if at, problem := s.kept[link], s.problem[link]; at != 0 || problem != "" {
		values[variableSentProblem] = model.String(problem)
	}
	return values
}
