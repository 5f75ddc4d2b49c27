package server

import (
	"fmt"
	"slices"
	"strings"

	"banyan/access"
	"banyan/model"
)

// Settings that say what of a context an export shows.
const (
	settingPreset = "preset"
	settingShows  = "shows"
	settingEvents = "events"
	settingHide   = "hide"
)

// Presets of exports.
const (
	presetWholeTree  = "whole-tree"
	presetAlertsOnly = "alerts-only"
	presetCustom     = "custom"
)

// nothingShown is how settings say none of them; empty would be the default.
const nothingShown = "none"

// sortsShown are the sorts of entries that shows names, in that order.
var sortsShown = []model.EntrySort{model.EntrySetting, model.EntryVariable, model.EntryFunction}

const everySort = "settings,variables,functions"

var entitySettings = []model.Setting{
	{Name: settingPreset, Type: model.TypeString, Default: model.String(presetCustom), Right: model.RightAdminister,
		Description: "whole-tree: everything but secrets and people; alerts-only: alerts, wherever they are; custom: what the other settings say."},
	{Name: settingShows, Type: model.TypeString, Default: model.String(everySort), Right: model.RightAdminister,
		Description: "What of each context is shown: settings, variables, functions, separated by commas, or none."},
	{Name: settingEvents, Type: model.TypeString, Default: model.String(model.SeverityDebug.String()), Right: model.RightAdminister,
		Description: "From which severity up events are shown: debug, info, notice, warning, error, critical, or none."},
	{Name: settingHide, Type: model.TypeString, Right: model.RightAdminister,
		Description: "Single settings, variables, functions and events that are left out, separated by commas: NAME, or KIND:NAME for contexts of one kind."},
}

// readEntities reads from settings what of each context is shown.
func readEntities(e *access.Export, setting func(string) model.Value) error {
	shown := splitList(setting(settingShows).Text())
	for _, sort := range sortsShown {
		if !slices.Contains(shown, sort.String()) {
			e.Without = append(e.Without, sort)
		}
	}
	for _, name := range shown {
		known := slices.ContainsFunc(sortsShown, func(s model.EntrySort) bool { return s.String() == name })
		if !known && (name != nothingShown || len(shown) > 1) {
			return wrongSetting(settingShows, "it cannot show "+fmt.Sprintf("%.64q", name), "name some of settings, variables and functions, or none alone")
		}
	}
	if len(shown) == 0 {
		return wrongSetting(settingShows, "it is empty", "write none to show the contexts without anything in them")
	}
	if text := setting(settingEvents).Text(); text == nothingShown {
		e.Without = append(e.Without, model.EntryEvent)
	} else {
		from, err := model.ParseSeverity(text)
		if err != nil {
			return wrongSetting(settingEvents, err.Error(), "or none for no events")
		}
		e.Events = from
	}
	for _, text := range splitList(setting(settingHide).Text()) {
		hidden := access.Hidden{Name: text}
		if kind, name, of := strings.Cut(text, ":"); of {
			hidden = access.Hidden{Kind: kind, Name: name}
		}
		if model.CheckName(hidden.Name) != nil || hidden.Kind != "" && model.CheckName(hidden.Kind) != nil {
			return wrongSetting(settingHide, fmt.Sprintf("%.64q", text)+" names nothing that a context has", "write it like password, or host:password for contexts of one kind")
		}
		e.Hide = append(e.Hide, hidden)
	}
	return nil
}

// fixedBy are the settings that a preset leaves no choice in, and what they stand at.
var fixedBy = map[string]map[string]string{
	presetWholeTree: {
		settingPaths: "/**", settingKinds: "", settingExceptKinds: "", settingShows: everySort, settingEvents: model.SeverityDebug.String(), settingHide: "",
	},
	presetAlertsOnly: {settingKinds: "", settingExceptKinds: ""},
}

// applyPreset makes of an export what its preset stands for. What a preset decides may not be decided beside it: who reads the one would be
// misled by the other.
func applyPreset(e *access.Export, setting func(string) model.Value) error {
	preset := setting(settingPreset).Text()
	fixed, known := fixedBy[preset]
	if !known && preset != presetCustom {
		return wrongSetting(settingPreset, fmt.Sprintf("%.64q", preset)+" is not a preset", "use whole-tree, alerts-only or custom")
	}
	for _, name := range []string{settingPaths, settingKinds, settingExceptKinds, settingShows, settingEvents, settingHide} {
		if standard, decided := fixed[name]; decided && setting(name).Text() != standard {
			return wrongSetting(name, "the preset "+preset+" decides on that", "set preset to custom, or leave "+name+" at its default")
		}
	}
	if preset == presetAlertsOnly {
		e.Kinds = []string{access.KindAlert}
	}
	return nil
}

func wrongSetting(name, detail, remedy string) error {
	return &model.Error{Kind: model.KindInvalid, Name: name, Detail: detail, Remedy: remedy}
}
