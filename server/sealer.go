package server

import (
	"strings"

	"banyan/model"
	"banyan/pki"
	"banyan/store"
)

// sealer lets the store seal with the node's key. The store names the place of a secret as "ID:setting".
type sealer struct{ key *pki.Sealer }

var _ store.Sealer = sealer{}

// Seal seals a secret for its place.
func (s sealer) Seal(plain, context []byte) ([]byte, error) {
	id, setting, err := secretPlace(context)
	if err != nil {
		return nil, err
	}
	return s.key.Seal(plain, id, setting), nil
}

// Open opens what was sealed for the place.
func (s sealer) Open(sealed, context []byte) ([]byte, error) {
	id, setting, err := secretPlace(context)
	if err != nil {
		return nil, err
	}
	return s.key.Open(sealed, id, setting)
}

func secretPlace(context []byte) (model.ContextID, string, error) {
	id, setting, _ := strings.Cut(string(context), ":")
	parsed, err := model.ParseContextID(id)
	return parsed, setting, err
}
