package follow

import (
	"banyan/access"
	"banyan/model"
	"banyan/proto"
)

// Export is the Selection of what an export shows.
func Export(s *access.Selection) Selection { return export{s} }

type export struct{ *access.Selection }

// Schema is what the export shows of a schema.
func (e export) Schema(full *model.Schema) (*model.Schema, error) {
	secret := make(map[string]bool)
	for i := range full.Settings {
		secret[full.Settings[i].Name] = full.Settings[i].Secret
	}
	return proto.DeriveSchema(full, func(sort model.EntrySort, entry string) bool {
		return !e.HidesEntity(full.Kind, sort, entry, sort == model.EntrySetting && secret[entry])
	})
}
