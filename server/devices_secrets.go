package server

import (
	"slices"
	"strings"

	"banyan/access"
	"banyan/devices"
	"banyan/model"
)

// checkSecretsStay refuses to send the secrets of a device elsewhere: who may configure it, but can read no secret, would else point it at a server of
// their own and be told there. With the secrets given anew, or taken away, in the same request anything goes; and to who may administer the device, at
// home, its secrets are entrusted. Before has what is set now, secrets opened.
func (h *deviceHub) checkSecretsStay(p *Proposal, before devices.Settings) error {
	moved := h.moved(p)
	if moved == "" {
		return nil
	}
	var kept []string
	for i := range p.Schema.Settings {
		s := &p.Schema.Settings[i]
		given := slices.ContainsFunc(p.Settings, func(a model.Argument) bool { return a.Name == s.Name })
		if value := before[s.Name]; s.Secret && !given && !value.IsNone() && value.Text() != "" {
			kept = append(kept, s.Name)
		}
	}
	trusted := access.Question{Principal: p.By, Entity: access.Entity{Path: p.Path, Kind: p.Schema.Kind}, Need: model.RightAdminister, Acting: true}
	if len(kept) == 0 || p.Rights.Decide(trusted).Allowed && p.By.Link == "" {
		return nil
	}
	return &model.Error{
		Kind: model.KindDenied, Name: moved, Detail: "the secrets of the device would go elsewhere, for which administer is needed",
		Remedy: "give " + strings.Join(kept, ", ") + " anew in the same request, or take away what is set first",
	}
}

// moved is a setting that the proposal changes and by which secrets find their way; empty for none.
func (h *deviceHub) moved(p *Proposal) string {
	for _, d := range h.drivers {
		confidant, is := d.(devices.Confidant)
		if !is || d.Kind() != p.Schema.Kind {
			continue
		}
		for _, name := range confidant.SecretsGoBy() {
			if !p.After(name).Equal(p.At.SettingNamed(name)) {
				return name
			}
		}
	}
	return ""
}
