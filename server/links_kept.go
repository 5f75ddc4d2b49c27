package server

import (
	"path/filepath"
	"sync"

	"banyan/backup"
	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/tree"
)

// Names of what links have for backups.
const (
	settingKeepBackups = "keep_backups"
	settingBackupUp    = "backup_up"

	variableKeptBackup   = "kept_backup"
	variableKeptSize     = "kept_backup_size"
	variableKeptRevision = "kept_backup_revision"
	variableSentBackup   = "sent_backup"
	variableSentProblem  = "sent_backup_problem"
)

const (
	defaultKeepBackups = 64 << 20
	mostKeepBackups    = 1 << 40
	keptOfEach         = 2
)

var keepSettings = []model.Setting{
	{Name: settingBackupUp, Type: model.TypeBool, Default: model.Bool(true), Right: model.RightAdminister,
		Description: "Of a provider with a recovery key: whether the consumer is sent sealed backups of this node, which it cannot open, so that this node can be replaced from there."},
	{Name: settingKeepBackups, Type: model.TypeInt64, Unit: "B", Default: model.Int64(defaultKeepBackups), Right: model.RightAdminister,
		Description: "Of a consumer: how large a sealed backup of the other node is kept here, 0 for none. The newest two are."},
}

var keepVariables = []model.Variable{
	{Name: variableKeptBackup, Type: model.TypeTime, Description: "Of a consumer: when the newest backup of the other node was made that is kept here."},
	{Name: variableKeptSize, Type: model.TypeInt64, Unit: "B", Description: "Its size."},
	{Name: variableKeptRevision, Type: model.TypeString, Description: "The last revision in it."},
	{Name: variableSentBackup, Type: model.TypeTime, Description: "Of a provider: when the newest backup of this node was made that the other node keeps."},
	{Name: variableSentProblem, Type: model.TypeString, Description: "Why the other node does not keep the newest one."},
}

// keptShelf is where this node keeps backups of its providers, as links see it.
type keptShelf struct {
	links *links
	shelf *backup.Shelf

	mu     sync.Mutex // guards newest
	newest map[model.NodeID]backup.Kept
}

var _ peering.Shelf = (*keptShelf)(nil)

func newKeptShelf(l *links) *keptShelf {
	return &keptShelf{links: l, shelf: backup.NewShelf(filepath.Join(l.node.cfg.Data, "kept"), keptOfEach), newest: map[model.NodeID]backup.Kept{}}
}

// provider is the provider of a link, and the link.
func (l *links) provider(name string) (tree.Context, model.NodeID, bool) {
	path, err := linksPath.Child(name)
	if err != nil {
		return tree.Context{}, model.NodeID{}, false
	}
	c, there := l.tree.Lookup(path)
	if !there || c.Schema.Kind != KindLink || roleOf(&c) != pki.RoleConsumer {
		return c, model.NodeID{}, false
	}
	peer, err := model.ParseNodeID(c.SettingNamed(settingPeer).Text())
	return c, peer, err == nil
}

// Keeps says how large a backup is kept for a link's provider, and which the newest is.
func (s *keptShelf) Keeps(link string) (int64, []byte) {
	c, peer, ok := s.links.provider(link)
	if !ok {
		return 0, nil
	}
	kept, there := s.of(peer)
	if !there {
		return c.SettingNamed(settingKeepBackups).Int64(), nil
	}
	return c.SettingNamed(settingKeepBackups).Int64(), kept.Sum[:]
}

// of is the newest backup of a node.
func (s *keptShelf) of(node model.NodeID) (backup.Kept, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, known := s.newest[node]
	if !known {
		kept, _ = s.shelf.Newest(node)
		s.newest[node] = kept
	}
	return kept, !kept.Node.IsZero()
}

// Take begins to take a backup of a link's provider.
func (s *keptShelf) Take(link string, sum []byte, size int64) (peering.Taking, error) {
	c, peer, ok := s.links.provider(link)
	offer := backup.Offer{Size: size}
	if !ok || copy(offer.Sum[:], sum) != len(offer.Sum) || len(sum) != len(offer.Sum) {
		return nil, model.Errorf(model.KindInvalid, "what is offered is no backup")
	}
	incoming, err := s.shelf.Take(peer, offer, c.SettingNamed(settingKeepBackups).Int64())
	if err != nil {
		return nil, err
	}
	return &keptTaking{incoming, s, link, peer}, nil
}

// keptTaking shows on its link what came.
type keptTaking struct {
	*backup.Incoming
	shelf *keptShelf
	link  string
	peer  model.NodeID
}

// Finish keeps the backup.
func (t *keptTaking) Finish() error {
	kept, err := t.Incoming.Finish()
	if err != nil {
		return err
	}
	t.shelf.mu.Lock()
	t.shelf.newest[t.peer] = kept
	t.shelf.mu.Unlock()
	t.shelf.links.log.Info("a backup of a provider is kept", "link", t.link, "made", kept.Made, "bytes", kept.Size)
	if c, _, ok := t.shelf.links.provider(t.link); ok {
		t.shelf.links.publishValues(&c, t.shelf.values(&c))
	}
	return nil
}

// values are the variables of a link that tell of the backup that is kept.
func (s *keptShelf) values(c *tree.Context) map[string]model.Value {
	peer, err := model.ParseNodeID(c.SettingNamed(settingPeer).Text())
	if err != nil || roleOf(c) != pki.RoleConsumer {
		return nil
	}
	kept, there := s.of(peer)
	if !there {
		return nil
	}
	return map[string]model.Value{
		variableKeptBackup: model.Instant(kept.Made), variableKeptSize: model.Int64(kept.Size), variableKeptRevision: model.String(kept.Revision.String()),
	}
}

// checkKeep refuses settings of a link that cannot be meant.
func checkKeep(p *Proposal) error {
	if v, given := p.Given(settingKeepBackups); given && !v.IsNone() && (v.Int64() < 0 || v.Int64() > mostKeepBackups) {
		return model.Errorf(model.KindInvalid, "%s is 0 to %d bytes", settingKeepBackups, int64(mostKeepBackups))
	}
	return nil
}
