package server

import (
	"context"
	"os"
	"strings"
	"time"

	"banyan/access"
	"banyan/backup"
	"banyan/durable"
	"banyan/model"
	"banyan/pki"
	"banyan/proto"
	"banyan/store"
)

// AdminName is the first administrator.
const AdminName = "admin"

// InitResult is what init made.
type InitResult struct {
	NodeID    model.NodeID
	AdminName string
	Password  string // shown once, kept nowhere
}

// InitConfig says which node is to be made.
type InitConfig struct {
	Dir, Name string
	// Hosts are what the API's certificate will be for; this machine where there are none.
	Hosts []string
	// Recipient is the public half of the recovery key, to which the node's backups are sealed; empty for none.
	Recipient string
}

// Init makes a node without a recovery key.
func Init(ctx context.Context, dir, name string, hosts []string) (InitResult, error) {
	return InitNode(ctx, InitConfig{Dir: dir, Name: name, Hosts: hosts})
}

// InitNode makes a node's directory: its root, the key for secrets, the database with the contexts that every node has, and the first administrator,
// with a password that is drawn. A directory in which a node is already is refused; one that was left half-made is completed.
func InitNode(ctx context.Context, cfg InitConfig) (InitResult, error) {
	dir, name := cfg.Dir, cfg.Name
	if err := model.CheckName(name); err != nil {
		return InitResult{}, model.Errorf(model.KindInvalid, "the node's name: %w", err)
	}
	for _, host := range cfg.Hosts {
		if err := pki.CheckHost(host); err != nil {
			return InitResult{}, err
		}
	}
	if err := private(dir); err != nil {
		return InitResult{}, err
	}
	authority, err := pki.Create(dir, name, time.Now())
	if model.KindOf(err) == model.KindExists {
		authority, err = pki.Load(dir)
	}
	if err != nil {
		return InitResult{}, err
	}
	seal, err := pki.CreateSealer(dir)
	if model.KindOf(err) == model.KindExists {
		seal, err = pki.LoadSealer(dir)
	}
	if err != nil {
		return InitResult{}, err
	}
	s, err := store.Open(ctx, store.Config{Dir: dir, Node: authority.ID(), Name: name, Sealer: seal})
	if err != nil {
		return InitResult{}, err
	}
	result := InitResult{NodeID: authority.ID(), AdminName: AdminName, Password: DrawPassword()}
	err = populate(ctx, s, &cfg, result.Password)
	if closed := s.Close(); err == nil {
		err = closed
	}
	if err == nil && cfg.Recipient != "" {
		err = backup.SetRecipient(dir, cfg.Recipient) // last: of a node that is there already it stays
	}
	if err != nil {
		return InitResult{}, err
	}
	return result, nil
}

// private makes a directory into which nobody else looks, also where it was there before.
func private(dir string) error {
	if err := durable.MakeDirs(dir, 0o700); err != nil {
		return model.Errorf(model.KindInvalid, "the node's directory cannot be made: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return model.Errorf(model.KindInvalid, "the node's directory cannot be closed to others: %w", err)
	}
	return nil
}

// populate writes the contexts that a node begins with, in one commit.
func populate(ctx context.Context, s *store.Store, cfg *InitConfig, password string) error {
	there, err := s.Own(ctx)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return &model.Error{Kind: model.KindExists, Op: "init " + cfg.Dir, Detail: "a node is there already", Remedy: "start it, or choose another directory"}
	}
	hash, err := newPasswords().hash(ctx, password)
	if err != nil {
		return err
	}
	first := store.Commit{Class: store.ClassPeople, Time: model.TimeOf(time.Now())}
	schemas := map[string]model.SchemaHash{}
	for _, schema := range []model.Schema{nodeSchema, folderSchema, devicesSchema, linksSchema, userSchema} {
		encoded, err := proto.NewSchema(schema)
		if err != nil {
			return err
		}
		schemas[schema.Kind] = encoded.Hash
		first.Changes = append(first.Changes, store.PutSchema{Schema: encoded})
	}
	for _, place := range ownPlaces {
		create := store.Create{ID: s.NewID(), Path: place.path, Label: place.label, Schema: schemas[place.kind]}
		if place.kind == KindNode && len(cfg.Hosts) > 0 {
			create.Settings = []store.Setting{{Name: settingHosts, Value: model.String(strings.Join(cfg.Hosts, ","))}}
		}
		first.Changes = append(first.Changes, create)
	}
	admin, err := usersPath.Child(AdminName)
	if err != nil {
		return err
	}
	everything := RulesValue([]access.Rule{{Pattern: model.Everything, Right: model.RightAdminister}})
	first.Changes = append(first.Changes, store.Create{
		ID: s.NewID(), Path: admin, Label: "Administrator", Schema: schemas[KindUser],
		Settings: []store.Setting{{Name: settingPassword, Value: model.String(hash)}, {Name: settingRules, Value: everything}},
	})
	return apply(ctx, s, first)
}

// apply makes one commit in a database that nothing runs on.
func apply(ctx context.Context, s *store.Store, c store.Commit) error {
	prepared, err := s.Prepare(ctx, c)
	if err != nil {
		return err
	}
	tx, err := s.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Apply(&prepared); err != nil {
		return err
	}
	_, err = tx.Commit(s.FirstChange())
	return err
}
