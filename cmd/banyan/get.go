package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"banyan/model"
	"banyan/proto/apiv1"

	"github.com/spf13/cobra"
)

func newGet(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "get PATH:NAME... | PATH...",
		Short: "Show what a setting, a variable or a whole context is now",
		Long: `Show what a setting or a variable is now: value, unit, how far it can be trusted, and how old it is.
PATH alone shows all of a context: settings, variables, and functions with their parameters.
With --json each answer is one line: a reading, or a context with its readings.`,
		Example: `  banyan get /regions/north/sites/berlin/devices/local:cpu_percent
  banyan get /devices/local:cpu_percent --json
  banyan get /devices/local`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: c.completeAddress(nameReadable),
		RunE: func(cmd *cobra.Command, args []string) error {
			var asked []model.Address
			for _, arg := range args {
				address, err := model.ParseAddress(arg)
				if err != nil {
					return usagef(cmd, "%v", err)
				}
				asked = append(asked, address)
			}
			ctx, at, stop, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer stop()
			for _, address := range asked {
				if err := c.get(ctx, at, address, len(asked) > 1); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (c *cli) get(ctx context.Context, at *client, address model.Address, named bool) error {
	if address.Name == "" {
		info, err := at.describe(ctx, address.Path)
		if err != nil {
			return err
		}
		return c.printContext(info)
	}
	got, err := ask(ctx, at, "get", address, at.trees.Get, &apiv1.GetRequest{Address: address.String()})
	if err != nil {
		return err
	}
	r := reading{got}
	switch {
	case c.json:
		return c.printJSON(r)
	case named:
		return c.printf("%s  %s\n", clean(r.address()), r.line(time.Now()))
	}
	return c.printf("%s\n", r.line(time.Now()))
}

func (at *client) describe(ctx context.Context, path model.Path) (*apiv1.ContextInfo, error) {
	return ask(ctx, at, "get", model.Address{Path: path}, at.trees.Describe, &apiv1.DescribeRequest{Path: path.String()})
}

// printContext prints a context with everything of it.
func (c *cli) printContext(info *apiv1.ContextInfo) error {
	if c.json {
		return c.printJSON(contextForm(info))
	}
	now, t := time.Now(), &table{}
	about := []string{info.GetPath(), info.GetKind()}
	if info.GetLabel() != "" {
		about = append(about, info.GetLabel())
	}
	if len(info.GetVia()) > 0 {
		about = append(about, "at "+route(info.GetVia()))
	}
	if stale := age(info.GetStale(), now); stale != "" {
		about = append(about, strings.TrimSpace("stale since "+stale+" "+info.GetHop()))
	}
	t.add(strings.Join(about, "  "))
	if asOf := age(info.GetFreshness().GetAsOf(), now); asOf != "" {
		t.add("true as of " + asOf)
	}
	if info.GetDescription() != "" {
		t.add(info.GetDescription())
	}
	if err := t.write(c.out); err != nil {
		return err
	}
	t = &table{}
	for _, s := range info.GetSettings() {
		r, marks := reading{s.GetReading()}, []string{s.GetRight()}
		value := r.short(60)
		if s.GetSecret() {
			value, marks = "(secret)", append(marks, "secret")
		}
		if s.GetLocal() {
			marks = append(marks, "local")
		}
		t.add("  "+r.GetName(), value, r.quality(now), strings.Join(marks, ","), s.GetDescription())
	}
	if err := c.section("settings", t); err != nil {
		return err
	}
	t = &table{}
	for _, v := range info.GetVariables() {
		r := reading{v.GetReading()}
		t.add("  "+r.GetName(), r.short(60), r.quality(now), r.newest(now), v.GetRight(), v.GetDescription())
	}
	if err := c.section("variables", t); err != nil {
		return err
	}
	t = &table{}
	for _, f := range info.GetFunctions() {
		t.add("  "+f.GetName()+"("+fieldsText(f.GetParameters())+")", f.GetRight(), f.GetDescription())
	}
	return c.section("functions", t)
}

func (c *cli) section(title string, t *table) error {
	if len(t.rows) == 0 {
		return nil
	}
	if err := c.printf("%s\n", title); err != nil {
		return err
	}
	return t.write(c.out)
}

// fieldsText shows parameters as they are given: name=type, those that may be left out in brackets.
func fieldsText(fields []*apiv1.FieldInfo) string {
	var parts []string
	for _, f := range fields {
		part := f.GetName() + "=" + f.GetType()
		if f.GetOptional() {
			part = "[" + part + "]"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

type settingJSON struct {
	Reading     json.Marshaler `json:"reading"`
	Description string         `json:"description,omitempty"`
	Right       string         `json:"right,omitempty"`
	Secret      bool           `json:"secret,omitempty"`
	Local       bool           `json:"local,omitempty"`
	Writable    bool           `json:"writable,omitempty"`
}

type fieldJSON struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Unit        string `json:"unit,omitempty"`
	Description string `json:"description,omitempty"`
	Optional    bool   `json:"optional,omitempty"`
}

type functionJSON struct {
	Name        string      `json:"name"`
	Description string      `json:"description,omitempty"`
	Right       string      `json:"right,omitempty"`
	Parameters  []fieldJSON `json:"parameters,omitempty"`
	Results     []fieldJSON `json:"results,omitempty"`
	Idempotent  bool        `json:"idempotent,omitempty"`
	Local       bool        `json:"local,omitempty"`
}

type contextJSON struct {
	Path        string         `json:"path"`
	ID          string         `json:"id"`
	Kind        string         `json:"kind"`
	Label       string         `json:"label,omitempty"`
	Revision    string         `json:"revision,omitempty"`
	Description string         `json:"description,omitempty"`
	Via         []string       `json:"via,omitempty"`
	Stale       string         `json:"stale,omitempty"`
	Hop         string         `json:"hop,omitempty"`
	AsOf        string         `json:"as_of,omitempty"`
	Settings    []settingJSON  `json:"settings,omitempty"`
	Variables   []settingJSON  `json:"variables,omitempty"`
	Functions   []functionJSON `json:"functions,omitempty"`
}

// contextForm is a context in JSON, with the keys of the API in the order of the API.
func contextForm(info *apiv1.ContextInfo) contextJSON {
	form := contextJSON{
		Path: info.GetPath(), ID: info.GetId(), Kind: info.GetKind(), Label: info.GetLabel(), Revision: info.GetRevision(),
		Description: info.GetDescription(), Via: info.GetVia(), Stale: info.GetStale(), Hop: info.GetHop(), AsOf: info.GetFreshness().GetAsOf(),
	}
	for _, s := range info.GetSettings() {
		form.Settings = append(form.Settings, settingJSON{
			Reading: reading{s.GetReading()}, Description: s.GetDescription(), Right: s.GetRight(), Secret: s.GetSecret(), Local: s.GetLocal(),
		})
	}
	for _, v := range info.GetVariables() {
		form.Variables = append(form.Variables, settingJSON{
			Reading: reading{v.GetReading()}, Description: v.GetDescription(), Right: v.GetRight(), Writable: v.GetWritable(),
		})
	}
	for _, f := range info.GetFunctions() {
		form.Functions = append(form.Functions, functionJSON{
			Name: f.GetName(), Description: f.GetDescription(), Right: f.GetRight(), Parameters: fieldForms(f.GetParameters()),
			Results: fieldForms(f.GetResults()), Idempotent: f.GetIdempotent(), Local: f.GetLocal(),
		})
	}
	return form
}

func fieldForms(fields []*apiv1.FieldInfo) []fieldJSON {
	var forms []fieldJSON
	for _, f := range fields {
		forms = append(forms, fieldJSON{f.GetName(), f.GetType(), f.GetUnit(), f.GetDescription(), f.GetOptional()})
	}
	return forms
}
