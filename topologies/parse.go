package topologies

import (
	"net"
	"os"
	"strings"

	"banyan/access"
	"banyan/devices"
	"banyan/model"
	"banyan/server"

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
	p := &parser{reader: reader{report: report{file: file}}, topology: &Topology{Source: source}, drivers: map[string]devices.Driver{}}
	for _, d := range drivers {
		p.drivers[d.Kind()] = d
		p.kinds = append(p.kinds, d.Kind())
	}
	if len(source) > maxFileBytes {
		p.add(mark{1, 1}, "split the network into several files", "the file has %d bytes, at most %d are read", len(source), maxFileBytes)
		return nil, p.err()
	}
	if root := p.document(source); root != nil {
		p.file(root)
		p.check()
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return p.topology, nil
}

// parser turns YAML into a Topology.
type parser struct {
	reader
	topology *Topology
	drivers  map[string]devices.Driver
	kinds    []string
	peopled  []entry // what users names
}

func (p *parser) file(root *yaml.Node) {
	var network, nodes bool
	ok := p.fields(root, "the file", []string{"network", "nodes", "links", "users"}, func(e entry) {
		switch e.name {
		case "network":
			network = true
			p.topology.Name = p.name(e.value, "the network's name")
		case "nodes":
			nodes = true
			p.nodes(e.value)
		case "links":
			links, _ := p.list(e.value, "links")
			for _, link := range links {
				p.link(link)
			}
		case "users":
			p.users(e.value)
		}
	})
	if ok && !network {
		p.add(mark{1, 1}, "add a line like `network: three-tier`", "the network has no name")
	}
	if ok && (!nodes || len(p.topology.Nodes) == 0 && len(p.problems) == 0) {
		p.add(mark{1, 1}, "add `nodes:` with a line like `hq: {}` below it", "the network has no nodes")
	}
}

// name is a word that can be a segment of a path.
func (p *parser) name(n *yaml.Node, what string) string {
	text, ok := p.text(n, what)
	if ok {
		p.checkName(markOf(n), text, what)
	}
	return text
}

func (p *parser) checkName(at mark, text, what string) bool {
	const most = 64
	if model.CheckName(text) == nil && len(text) <= most && !strings.Contains(text, ".") {
		return true
	}
	p.add(at, "use 1 to 64 of A-Z a-z 0-9 _ -", "%s is %.80q", what, text)
	return false
}

func (p *parser) nodes(n *yaml.Node) {
	entries, _ := p.mapping(n, "nodes")
	for _, e := range entries {
		if p.checkName(markOf(e.key), e.name, "a node's name") {
			p.topology.Nodes = append(p.topology.Nodes, p.node(e))
		}
	}
}

func (p *parser) node(e entry) Node {
	node := Node{Name: e.name, at: markOf(e.key)}
	p.fields(e.value, "a node", []string{"devices", "listeners"}, func(e entry) {
		switch e.name {
		case "devices":
			devices, _ := p.mapping(e.value, "devices")
			for _, d := range devices {
				if device, ok := p.device(d); ok {
					node.Devices = append(node.Devices, device)
				}
			}
		case "listeners":
			p.fields(e.value, "listeners", []string{"links", "api"}, func(e entry) {
				if e.name == "links" {
					node.Listeners.Links = p.address(e.value)
				} else {
					node.Listeners.API = p.address(e.value)
				}
			})
		}
	})
	return node
}

func (p *parser) address(n *yaml.Node) string {
	text, ok := p.text(n, "a listener")
	if !ok {
		return ""
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || port == "" || port == "0" {
		p.add(markOf(n), "write HOST:PORT, like 127.0.0.1:7443, or leave it out: then a port is drawn", "the listener is %.80q", text)
	}
	return text
}

func (p *parser) path(n *yaml.Node, what string) (model.Path, bool) {
	text, ok := p.text(n, what)
	if !ok {
		return model.Root, false
	}
	path, err := model.ParsePath(text)
	if err != nil {
		p.fault(markOf(n), "paths are written like /sites/berlin", err)
	}
	return path, err == nil
}

func (p *parser) device(e entry) (Device, bool) {
	device := Device{at: markOf(e.key)}
	path, err := model.ParsePath(e.name)
	if err != nil {
		p.fault(device.at, "devices are written like /devices/plc-7", err)
	}
	device.Path = path
	entries, ok := p.mapping(e.value, "a device")
	kind := mark{}
	for _, e := range entries {
		switch e.name {
		case "kind":
			kind = markOf(e.value)
			device.Kind, _ = p.text(e.value, "a device's kind")
		case "label":
			device.Label, _ = p.text(e.value, "a label")
		default:
			if text, ok := p.text(e.value, "the setting "+e.name); ok {
				device.Settings = append(device.Settings, Setting{Name: e.name, Text: text, at: markOf(e.key), value: markOf(e.value)})
			}
		}
	}
	if ok && kind == (mark{}) {
		p.add(device.at, "add kind: "+strings.Join(p.kinds, " or kind: "), "the device %s has no kind", e.name)
		ok = false
	}
	if ok && device.Kind != "" {
		p.checkDevice(kind, &device)
	}
	return device, ok && err == nil
}

// checkDevice tries the settings on the driver, which reaches for nothing by being opened.
func (p *parser) checkDevice(kind mark, d *Device) {
	driver, known := p.drivers[d.Kind]
	if !known {
		p.add(kind, didYouMean(d.Kind, p.kinds), "there is no kind of device called %q", d.Kind)
		return
	}
	schema := devices.Complete(driver.Schema())
	names := make([]string, len(schema.Settings))
	for i, s := range schema.Settings {
		names[i] = s.Name
	}
	given, marks := devices.Settings{}, map[string]mark{}
	for i := range d.Settings {
		s := &d.Settings[i]
		at := schema.SettingIndex(s.Name)
		if at < 0 {
			p.add(s.at, didYouMean(s.Name, names), "a %s has no setting %q", d.Kind, s.Name)
			return
		}
		var err error
		s.Value, err = model.ParseText(schema.Settings[at].Type, s.Text)
		if err != nil {
			p.fault(s.value, typeRemedy(schema.Settings[at].Type), &model.Error{Detail: s.Name, Err: err})
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
		p.add(at, settingHelp(schema, refused), "%s", text)
	}
}

func (p *parser) right(n *yaml.Node) (model.Right, bool) {
	text, ok := p.text(n, "a right")
	if !ok {
		return model.RightNone, false
	}
	right, err := model.ParseRight(text)
	if err != nil {
		p.add(markOf(n), didYouMean(text, rightNames), "%.80q is not a right", text)
	}
	return right, err == nil
}

var rightNames = []string{"none", "view", "operate", "configure", "administer"}

func (p *parser) pattern(n *yaml.Node) (model.Pattern, bool) {
	text, ok := p.text(n, "a pattern")
	if !ok {
		return model.Pattern{}, false
	}
	pattern, err := model.ParsePattern(text)
	if err != nil {
		p.fault(markOf(n), "patterns are written like /devices/* or /sites/**", err)
	}
	return pattern, err == nil
}

func (p *parser) users(n *yaml.Node) {
	nodes, _ := p.mapping(n, "users")
	for _, node := range nodes {
		people, _ := p.mapping(node.value, "the users of a node")
		for _, person := range people {
			p.user(node, person)
		}
		p.peopled = append(p.peopled, node)
	}
}

// user reads a person's rules.
func (p *parser) user(node, person entry) {
	u := User{Node: node.name, Name: person.name, at: markOf(person.key)}
	if strings.Contains(person.name, "@") {
		named, err := access.ParsePerson(person.name)
		if err != nil {
			p.fault(u.at, "a foreign person is written \"alice@hq\"", err)
			return
		}
		u.Name, u.Home = named.Name, named.Node
	}
	if !p.checkName(u.at, u.Name, "a user's name") {
		return
	}
	if u.Name == server.AdminName && !u.Foreign() {
		p.add(u.at, "choose another name", "every node has the user %s already, its first administrator", server.AdminName)
	}
	rules, ok := p.list(person.value, "rules")
	for _, rule := range rules {
		if read, fine := p.rule(rule); fine {
			u.Rules = append(u.Rules, read)
		} else {
			ok = false
		}
	}
	if ok && len(u.Rules) == 0 {
		p.add(u.at, "add one like [{pattern: \"/**\", right: view}]", "%s has no rule, and without one nothing is allowed", &u)
	}
	p.topology.Users = append(p.topology.Users, u)
}

func (p *parser) rule(n *yaml.Node) (access.Rule, bool) {
	var rule access.Rule
	var pattern, right, patternFine, rightFine bool
	ok := p.fields(n, "a rule", []string{"pattern", "right"}, func(e entry) {
		if e.name == "pattern" {
			pattern = true
			rule.Pattern, patternFine = p.pattern(e.value)
		} else {
			right = true
			rule.Right, rightFine = p.right(e.value)
		}
	})
	if ok && (!pattern || !right) {
		p.add(markOf(n), "write {pattern: \"/**\", right: view}", "a rule needs a pattern and a right")
	}
	return rule, ok && patternFine && rightFine
}
