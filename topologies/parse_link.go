package topologies

import (
	"errors"
	"time"

	"banyan/devices"
	"banyan/model"
	"banyan/yamlfile"

	"go.yaml.in/yaml/v4"
)

func (p *parser) link(n *yaml.Node) {
	at := yamlfile.MarkOf(n)
	l := Link{Export: Export{Right: model.RightView}, Pace: everySample, at: linkMarks{link: at}}
	given := map[string]bool{}
	ok := p.Fields(n, "a link", []string{"provider", "consumer", "dials", "export", "mount", "interval", "deadband", "also", "beat", "self"}, func(e yamlfile.Entry) {
		given[e.Name] = true
		switch e.Name {
		case "provider":
			l.at.provider = yamlfile.MarkOf(e.Value)
			l.Provider, _ = p.Text(e.Value, "the provider")
		case "consumer":
			l.at.consumer = yamlfile.MarkOf(e.Value)
			l.Consumer, _ = p.Text(e.Value, "the consumer")
		case "dials":
			l.ConsumerDials = p.dials(e.Value)
		case "export":
			p.export(e.Value, &l.Export)
		case "mount":
			l.Mount, l.at.mount = p.mount(e.Value)
		case "interval", "deadband":
			p.pace(e, &l.Pace)
		case "also":
			parts, _ := p.List(e.Value, "also")
			for _, part := range parts {
				p.part(part, &l)
			}
		case "beat":
			l.Beat = p.beat(e.Value)
		case "self":
			l.Self = p.Truth(e.Value, "self")
		}
	})
	for _, needed := range []struct{ key, remedy string }{
		{"provider", "add provider: NODE, the node whose tree is shown"},
		{"consumer", "add consumer: NODE, the node that sees it"},
		{"mount", "add mount: /PATH, where it hangs at the consumer"},
	} {
		if ok && !given[needed.key] {
			p.Add(at, needed.remedy, "a link has no %s", needed.key)
			ok = false
		}
	}
	l.Export.complete()
	if ok {
		p.topology.Links = append(p.topology.Links, l)
	}
}

// mount reads where something hangs. Where that is no path there is no place either, and it is not compared with others.
func (p *parser) mount(n *yaml.Node) (model.Path, yamlfile.Mark) {
	path, ok := p.path(n, "a mount")
	if !ok {
		return path, yamlfile.Mark{}
	}
	return path, yamlfile.MarkOf(n)
}

// part reads a further part of a link.
func (p *parser) part(n *yaml.Node, to *Link) {
	part := Part{Export: Export{Right: model.RightView}, Pace: everySample, at: yamlfile.MarkOf(n)}
	given, fine := map[string]bool{}, true
	ok := p.Fields(n, "a part of a link", []string{"name", "export", "mount", "interval", "deadband"}, func(e yamlfile.Entry) {
		given[e.Name] = true
		switch e.Name {
		case "name":
			part.Name, _ = p.Text(e.Value, "the name of a part")
			if model.CheckSegment(part.Name) != nil {
				fine = false
				p.Add(yamlfile.MarkOf(e.Value), "name it like alerts", "%.80q cannot be the name of a part", part.Name)
			}
			for i := range to.Also {
				if to.Also[i].Name == part.Name {
					fine = false
					p.Add(yamlfile.MarkOf(e.Value), "give each part of a link a name of its own", "the link has a part called %s already (%s)", part.Name, to.Also[i].at)
				}
			}
		case "export":
			p.export(e.Value, &part.Export)
		case "mount":
			part.Mount, part.mount = p.mount(e.Value)
		case "interval", "deadband":
			p.pace(e, &part.Pace)
		}
	})
	for _, needed := range []struct{ key, remedy string }{
		{"name", "add name: NAME, by which both ends know it"}, {"mount", "add mount: /PATH, where it hangs at the consumer"},
	} {
		if ok && !given[needed.key] {
			p.Add(part.at, needed.remedy, "a part of a link has no %s", needed.key)
			ok = false
		}
	}
	part.Export.complete()
	if ok && fine {
		to.Also = append(to.Also, part)
	}
}

// complete selects everything where nothing was named.
func (e *Export) complete() {
	if len(e.Paths) == 0 {
		e.Paths = []model.Pattern{model.Everything}
	}
}

func (p *parser) dials(n *yaml.Node) bool {
	text, ok := p.Text(n, "dials")
	if ok && text != "provider" && text != "consumer" {
		p.Add(yamlfile.MarkOf(n), "write provider or consumer: the one that opens the connection", "dials is %.80q", text)
	}
	return text == "consumer"
}

func (p *parser) export(n *yaml.Node, to *Export) {
	p.Fields(n, "an export", []string{"paths", "right", "root", "kinds", "except_kinds", "secrets", "people"}, func(e yamlfile.Entry) {
		switch e.Name {
		case "paths":
			patterns, ok := p.List(e.Value, "paths")
			if ok && len(patterns) == 0 {
				p.Add(yamlfile.MarkOf(e.Value), "name some, like [\"/**\"], or leave the key out: then it is everything", "the export has no paths")
			}
			for _, pattern := range patterns {
				if read, ok := p.pattern(pattern); ok {
					to.Paths = append(to.Paths, read)
				}
			}
		case "right":
			right, ok := p.right(e.Value)
			to.Right = right
			if ok && right == model.RightNone {
				p.Add(yamlfile.MarkOf(e.Value), "grant view at least, or leave the link out", "an export that grants nothing")
			}
		case "root":
			to.Root, _ = p.path(e.Value, "an export's root")
		case "kinds":
			to.Kinds = p.words(e.Value, "kinds")
		case "except_kinds":
			to.ExceptKinds = p.words(e.Value, "except_kinds")
		case "secrets":
			to.Secrets = p.Truth(e.Value, "secrets")
		case "people":
			to.People = p.Truth(e.Value, "people")
		}
	})
}

func (p *parser) words(n *yaml.Node, what string) []string {
	var words []string
	elements, _ := p.List(n, what)
	for _, element := range elements {
		text, ok := p.Text(element, "a kind")
		if ok && model.CheckName(text) != nil {
			p.Add(yamlfile.MarkOf(element), "kinds are written like host or folder", "%.80q is not a kind", text)
		}
		words = append(words, text)
	}
	return words
}

// openOnce asks the driver whether it could use the settings.
func openOnce(driver devices.Driver, schema *model.Schema, given devices.Settings) error {
	resolved, err := devices.Resolve(schema, given)
	if err != nil {
		return err
	}
	if err := checkCommon(resolved); err != nil {
		return err
	}
	opened, err := driver.Open(resolved)
	if err != nil {
		return err
	}
	return opened.Close()
}

// checkCommon holds the bounds of what all devices have in common.
func checkCommon(s devices.Settings) error {
	for _, bound := range []struct {
		name        string
		least, most time.Duration
	}{
		{devices.SettingPollInterval, devices.MinPollInterval, devices.MaxPollInterval},
		{devices.SettingTimeout, devices.MinTimeout, devices.MaxTimeout},
	} {
		if d := s[bound.name].Duration(); d < bound.least || d > bound.most {
			return devices.BadSetting(bound.name, "%s is outside of %s to %s", d, bound.least, bound.most)
		}
	}
	return nil
}

// refusedSetting is the setting that an error speaks of, and the error's text without a place in a tree that there is not yet.
func refusedSetting(err error) (name, text string) {
	var e *model.Error
	if errors.As(err, &e) && e.Name != "" {
		return e.Name, e.Name + ": " + e.Detail
	}
	return "", err.Error()
}

// settingHelp is what the schema says about a setting.
func settingHelp(schema *model.Schema, name string) string {
	if at := schema.SettingIndex(name); at >= 0 {
		return schema.Settings[at].Description
	}
	return schema.Description
}

func typeRemedy(t model.Type) string {
	switch t {
	case model.TypeDuration:
		return "write it like 500ms, 2s or 1h30m"
	case model.TypeBool:
		return "write true or false"
	case model.TypeInt64:
		return "write a whole number"
	case model.TypeFloat64:
		return "write a number"
	}
	return "write a " + t.String()
}
