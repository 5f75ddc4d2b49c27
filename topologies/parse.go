package topologies

import (
	"net"
	"os"
	"strings"

	"banyan/access"
	"banyan/devices"
	"banyan/model"
	"banyan/server"
	"banyan/yamlfile"

	"go.yaml.in/yaml/v4"
)

// ReadFile reads a topology file and checks it against the kinds of devices that the drivers bring.
func ReadFile(path string, drivers []devices.Driver) (*Topology, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, &model.Error{Kind: model.KindNotFound, Err: err, Remedy: "name a topology file; topologies/three-tier.yaml is an example"}
	}
	return Check(path, source, drivers)
}

// Check reads a topology and finds everything that is wrong with it, not just the first thing. The error is a *model.Error of the kind invalid
// with Problems inside, each of which says where in the file it stands and what to do about it.
func Check(file string, source []byte, drivers []devices.Driver) (*Topology, error) {
	p := &parser{
		Reader: yamlfile.Reader{
			File: file, What: "network", Begin: "begin with `network: NAME` and `nodes:`; topologies/three-tier.yaml is an example", KeyRemedy: keyRemedy,
		},
		topology: &Topology{Source: source}, drivers: map[string]devices.Driver{},
	}
	for _, d := range drivers {
		p.drivers[d.Kind()] = d
		p.kinds = append(p.kinds, d.Kind())
	}
	if root := p.Document(source); root != nil {
		p.file(root)
		p.check()
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	return p.topology, nil
}

// parser turns YAML into a Topology.
type parser struct {
	yamlfile.Reader
	topology *Topology
	drivers  map[string]devices.Driver
	kinds    []string
	peopled  []yamlfile.Entry // what users names
}

// keyRemedy knows where passwords come from, since they are what people look for.
func keyRemedy(name string) string {
	if strings.Contains(strings.ToLower(name), "password") {
		return "passwords are drawn by `up` and kept in DIR/secrets; remove it"
	}
	return ""
}

func (p *parser) file(root *yaml.Node) {
	var network, nodes bool
	ok := p.Fields(root, "the file", []string{"network", "nodes", "links", "users"}, func(e yamlfile.Entry) {
		switch e.Name {
		case "network":
			network = true
			p.topology.Name = p.name(e.Value, "the network's name")
		case "nodes":
			nodes = true
			p.nodes(e.Value)
		case "links":
			links, _ := p.List(e.Value, "links")
			for _, link := range links {
				p.link(link)
			}
		case "users":
			p.users(e.Value)
		}
	})
	if ok && !network {
		p.Add(yamlfile.Start, "add a line like `network: three-tier`", "the network has no name")
	}
	if ok && (!nodes || len(p.topology.Nodes) == 0 && p.Good()) {
		p.Add(yamlfile.Start, "add `nodes:` with a line like `hq: {}` below it", "the network has no nodes")
	}
}

// name is a word that can be a segment of a path.
func (p *parser) name(n *yaml.Node, what string) string {
	text, ok := p.Text(n, what)
	if ok {
		p.checkName(yamlfile.MarkOf(n), text, what)
	}
	return text
}

func (p *parser) checkName(at yamlfile.Mark, text, what string) bool {
	const most = 64
	if model.CheckName(text) == nil && len(text) <= most && !strings.Contains(text, ".") {
		return true
	}
	p.Add(at, "use 1 to 64 of A-Z a-z 0-9 _ -", "%s is %.80q", what, text)
	return false
}

func (p *parser) nodes(n *yaml.Node) {
	entries, _ := p.Mapping(n, "nodes")
	for _, e := range entries {
		if p.checkName(yamlfile.MarkOf(e.Key), e.Name, "a node's name") {
			p.topology.Nodes = append(p.topology.Nodes, p.node(e))
		}
	}
}

func (p *parser) node(e yamlfile.Entry) Node {
	node := Node{Name: e.Name, at: yamlfile.MarkOf(e.Key)}
	p.Fields(e.Value, "a node", []string{"devices", "listeners"}, func(e yamlfile.Entry) {
		switch e.Name {
		case "devices":
			devices, _ := p.Mapping(e.Value, "devices")
			for _, d := range devices {
				if device, ok := p.device(d); ok {
					node.Devices = append(node.Devices, device)
				}
			}
		case "listeners":
			p.Fields(e.Value, "listeners", []string{"links", "api"}, func(e yamlfile.Entry) {
				if e.Name == "links" {
					node.Listeners.Links = p.address(e.Value)
				} else {
					node.Listeners.API = p.address(e.Value)
				}
			})
		}
	})
	return node
}

func (p *parser) address(n *yaml.Node) string {
	text, ok := p.Text(n, "a listener")
	if !ok {
		return ""
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || port == "" || port == "0" {
		p.Add(yamlfile.MarkOf(n), "write HOST:PORT, like 127.0.0.1:7443, or leave it out: then a port is drawn", "the listener is %.80q", text)
	}
	return text
}

func (p *parser) path(n *yaml.Node, what string) (model.Path, bool) {
	text, ok := p.Text(n, what)
	if !ok {
		return model.Root, false
	}
	path, err := model.ParsePath(text)
	if err != nil {
		p.Fault(yamlfile.MarkOf(n), "paths are written like /sites/berlin", err)
	}
	return path, err == nil
}

func (p *parser) device(e yamlfile.Entry) (Device, bool) {
	device := Device{at: yamlfile.MarkOf(e.Key)}
	path, err := model.ParsePath(e.Name)
	if err != nil {
		p.Fault(device.at, "devices are written like /devices/plc-7", err)
	}
	device.Path = path
	entries, ok := p.Mapping(e.Value, "a device")
	kind := yamlfile.Mark{}
	for _, e := range entries {
		switch e.Name {
		case "kind":
			kind = yamlfile.MarkOf(e.Value)
			device.Kind, _ = p.Text(e.Value, "a device's kind")
		case "label":
			device.Label, _ = p.Text(e.Value, "a label")
		default:
			if text, ok := p.Text(e.Value, "the setting "+e.Name); ok {
				device.Settings = append(device.Settings, Setting{Name: e.Name, Text: text, at: yamlfile.MarkOf(e.Key), value: yamlfile.MarkOf(e.Value)})
			}
		}
	}
	if ok && kind == (yamlfile.Mark{}) {
		p.Add(device.at, "add kind: "+strings.Join(p.kinds, " or kind: "), "the device %s has no kind", e.Name)
		ok = false
	}
	if ok && device.Kind != "" {
		p.checkDevice(kind, &device)
	}
	return device, ok && err == nil
}

// checkDevice tries the settings on the driver, which reaches for nothing by being opened.
func (p *parser) checkDevice(kind yamlfile.Mark, d *Device) {
	driver, known := p.drivers[d.Kind]
	if !known {
		p.Add(kind, yamlfile.DidYouMean(d.Kind, p.kinds), "there is no kind of device called %q", d.Kind)
		return
	}
	schema := devices.Complete(driver.Schema())
	names := make([]string, len(schema.Settings))
	for i, s := range schema.Settings {
		names[i] = s.Name
	}
	given, marks := devices.Settings{}, map[string]yamlfile.Mark{}
	for i := range d.Settings {
		s := &d.Settings[i]
		at := schema.SettingIndex(s.Name)
		if at < 0 {
			p.Add(s.at, yamlfile.DidYouMean(s.Name, names), "a %s has no setting %q", d.Kind, s.Name)
			return
		}
		var err error
		s.Value, err = model.ParseText(schema.Settings[at].Type, s.Text)
		if err != nil {
			p.Fault(s.value, typeRemedy(schema.Settings[at].Type), &model.Error{Detail: s.Name, Err: err})
			return
		}
		given[s.Name], marks[s.Name] = s.Value, s.value
	}
	if err := openOnce(driver, schema, given); err != nil {
		at := d.at
		refused, text := refusedSetting(err)
		if m, ok := marks[refused]; ok {
			at = m
		}
		p.Add(at, settingHelp(schema, refused), "%s", text)
	}
}

func (p *parser) right(n *yaml.Node) (model.Right, bool) {
	text, ok := p.Text(n, "a right")
	if !ok {
		return model.RightNone, false
	}
	right, err := model.ParseRight(text)
	if err != nil {
		p.Add(yamlfile.MarkOf(n), yamlfile.DidYouMean(text, rightNames), "%.80q is not a right", text)
	}
	return right, err == nil
}

var rightNames = []string{"none", "view", "operate", "configure", "administer"}

func (p *parser) pattern(n *yaml.Node) (model.Pattern, bool) {
	text, ok := p.Text(n, "a pattern")
	if !ok {
		return model.Pattern{}, false
	}
	pattern, err := model.ParsePattern(text)
	if err != nil {
		p.Fault(yamlfile.MarkOf(n), "patterns are written like /devices/* or /sites/**", err)
	}
	return pattern, err == nil
}

func (p *parser) users(n *yaml.Node) {
	nodes, _ := p.Mapping(n, "users")
	for _, node := range nodes {
		people, _ := p.Mapping(node.Value, "the users of a node")
		for _, person := range people {
			p.user(node, person)
		}
		p.peopled = append(p.peopled, node)
	}
}

// user reads a person's rules.
func (p *parser) user(node, person yamlfile.Entry) {
	u := User{Node: node.Name, Name: person.Name, at: yamlfile.MarkOf(person.Key)}
	if strings.Contains(person.Name, "@") {
		named, err := access.ParsePerson(person.Name)
		if err != nil {
			p.Fault(u.at, "a foreign person is written \"alice@hq\"", err)
			return
		}
		u.Name, u.Home = named.Name, named.Node
	}
	if !p.checkName(u.at, u.Name, "a user's name") {
		return
	}
	if u.Name == server.AdminName && !u.Foreign() {
		p.Add(u.at, "choose another name", "every node has the user %s already, its first administrator", server.AdminName)
	}
	rules, ok := p.List(person.Value, "rules")
	for _, rule := range rules {
		if read, fine := p.rule(rule); fine {
			u.Rules = append(u.Rules, read)
		} else {
			ok = false
		}
	}
	if ok && len(u.Rules) == 0 {
		p.Add(u.at, "add one like [{pattern: \"/**\", right: view}]", "%s has no rule, and without one nothing is allowed", &u)
	}
	p.topology.Users = append(p.topology.Users, u)
}

func (p *parser) rule(n *yaml.Node) (access.Rule, bool) {
	var rule access.Rule
	var pattern, right, patternFine, rightFine bool
	ok := p.Fields(n, "a rule", []string{"pattern", "right"}, func(e yamlfile.Entry) {
		if e.Name == "pattern" {
			pattern = true
			rule.Pattern, patternFine = p.pattern(e.Value)
		} else {
			right = true
			rule.Right, rightFine = p.right(e.Value)
		}
	})
	if ok && (!pattern || !right) {
		p.Add(yamlfile.MarkOf(n), "write {pattern: \"/**\", right: view}", "a rule needs a pattern and a right")
	}
	return rule, ok && patternFine && rightFine
}
