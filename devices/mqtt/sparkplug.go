package mqtt

import (
	"encoding/json"
	"strings"
	"time"

	"banyan/devices"
	"banyan/model"
)

// sparkplug is the view of one Sparkplug B edge node: its own metrics, and those of its devices, as it tells them by births and data.
// Specification 3.0.0, chapters 5 and 6.
type sparkplug struct {
	group, edge, host string
	most              int

	to      devices.Publisher // of this connection
	node    *unit
	devices map[string]*unit
	namer   devices.Namer

	birth   uint64 // the number of the node's birth (bdSeq)
	seq     uint64 // of the last message
	asked   time.Time
	waiting bool // for a birth
}

const (
	sparkplugVersion = "spBv1.0"
	nodeSegment      = "node"
	devicesFolder    = "devices"
	metricBirth      = "bdSeq"
	metricRebirth    = "Node Control/Rebirth"
	rebirthPause     = 10 * time.Second // between two questions for a birth
)

func newSparkplug(text, host string, most int) (*sparkplug, error) {
	group, edge, both := strings.Cut(text, "/")
	if !both || group == "" || edge == "" || strings.Contains(edge, "/") || checkTopic(text) != nil {
		return nil, devices.BadSetting("sparkplug", "write GROUP/EDGE-NODE")
	}
	if host != "" && (checkTopic(host) != nil || strings.Contains(host, "/")) {
		return nil, devices.BadSetting("host_id", "%.80q cannot be a host application ID", host)
	}
	return &sparkplug{group: group, edge: edge, host: host, most: most, node: &unit{name: edge}, devices: map[string]*unit{}, waiting: true}, nil
}

// state is the announcement of a primary host, for which edge nodes may wait.
func (s *sparkplug) state() *lastWill {
	if s.host == "" {
		return nil
	}
	return &lastWill{topic: sparkplugVersion + "/STATE/" + s.host, payload: func(online bool, since time.Time) []byte {
		encoded, _ := json.Marshal(map[string]any{"online": online, "timestamp": since.UnixMilli()}) // it always encodes
		return encoded
	}}
}

func (s *sparkplug) topic(verb, device string) string {
	topic := strings.Join([]string{sparkplugVersion, s.group, verb, s.edge}, "/")
	if device != "" {
		topic += "/" + device
	}
	return topic
}

func (s *sparkplug) filters() []string {
	own := func(verb string) string { return s.topic(verb, "") }
	return []string{own("NBIRTH"), own("NDATA"), own("NDEATH"), own("DBIRTH") + "/+", own("DDATA") + "/+", own("DDEATH") + "/+"}
}

// begin publishes what was told before as stale: data may have been missed. A birth ends that.
func (s *sparkplug) begin(publish devices.Publisher) {
	s.to, s.waiting = publish, true
	s.each(func(u *unit) {
		u.to = nil
		if u.schema != nil && s.place(u) == nil {
			u.to.Publish(marked(u.last, model.QualityStale))
		}
	})
}

func (s *sparkplug) each(do func(*unit)) {
	do(s.node)
	for _, u := range s.devices {
		do(u)
	}
}

// connected asks for a birth: births are told once, and not kept by the broker.
func (s *sparkplug) connected(tell func(send)) { s.askBirth(tell) }

func (s *sparkplug) askBirth(tell func(send)) {
	now := time.Now()
	if now.Sub(s.asked) < rebirthPause {
		return
	}
	s.asked = now
	p := payload{timestamp: uint64(now.UnixMilli()), metrics: []metric{{
		name: metricRebirth, timestamp: uint64(now.UnixMilli()), datatype: typeBoolean, kind: kindBool, bits: 1,
	}}}
	tell(send{topic: s.topic("NCMD", ""), payload: p.encode()})
}

func (s *sparkplug) take(_ devices.Publisher, m message, tell func(send)) outcome {
	parts := strings.Split(m.topic, "/")
	p, err := decodePayload(m.payload)
	if err != nil || len(parts) < 4 {
		return refused
	}
	device := ""
	if len(parts) == 5 {
		device = parts[4]
	}
	switch parts[2] {
	case "NBIRTH":
		return s.bear(&p, m.at)
	case "NDEATH":
		return s.die(&p, m.at)
	}
	if s.waiting || !s.follows(&p) {
		// Without its birth nothing is known of a node, and where a message is missing, something of it is not.
		s.waiting = true
		s.askBirth(tell)
		if parts[2] != "DBIRTH" {
			return refused
		}
	}
	return s.message(parts[2], device, &p, m.at, tell)
}

func (s *sparkplug) message(verb, device string, p *payload, at model.Time, tell func(send)) outcome {
	u := s.node
	if device != "" {
		if u = s.devices[device]; u == nil {
			if verb != "DBIRTH" {
				s.askBirth(tell)
				return refused
			}
			if len(s.devices) >= s.most {
				return leftOut
			}
			u = &unit{name: device, segment: s.namer.Segment(device)}
			s.devices[device] = u
		}
	}
	switch verb {
	case "DBIRTH":
		return s.born(u, p, at)
	case "DDEATH":
		s.dead(u, at)
		return taken
	case "NDATA", "DDATA":
		if !u.data(p, at) {
			s.askBirth(tell)
			return refused
		}
		return taken
	}
	return refused
}

// follows reports whether a message comes right behind the one before: numbers go from 0 to 255 and begin anew.
func (s *sparkplug) follows(p *payload) bool {
	if !p.hasSeq || p.seq != (s.seq+1)%256 {
		return false
	}
	s.seq = p.seq
	return true
}

// bear takes the birth of the node. Its devices are told after it, each by its own birth.
func (s *sparkplug) bear(p *payload, at model.Time) outcome {
	if !p.hasSeq {
		return refused
	}
	s.seq, s.waiting, s.birth = p.seq, false, 0
	for i := range p.metrics {
		if p.metrics[i].name == metricBirth {
			s.birth = p.metrics[i].bits
		}
	}
	for _, u := range s.devices {
		s.dead(u, at)
	}
	return s.born(s.node, p, at)
}

// die takes the death of the node, which the broker tells for it. One of a birth before this one came late and means nothing.
func (s *sparkplug) die(p *payload, at model.Time) outcome {
	for i := range p.metrics {
		if p.metrics[i].name == metricBirth && p.metrics[i].bits != s.birth {
			return taken
		}
	}
	s.waiting = true
	s.each(func(u *unit) { s.dead(u, at) })
	return taken
}

func (s *sparkplug) born(u *unit, p *payload, at model.Time) outcome {
	left := u.born(p)
	if s.place(u) != nil {
		return refused
	}
	u.tell(true, p, at)
	if left > 0 {
		return leftOut
	}
	return taken
}

// dead marks everything of a unit: it is not there any more.
func (s *sparkplug) dead(u *unit, at model.Time) {
	if u.to == nil {
		return
	}
	u.last = marked(u.last, model.QualityNoReply)
	u.last[unitOnline] = devices.Update{Variable: unitOnline, Value: model.Bool(false), Source: at}
	u.to.Publish(u.last)
}

// place makes the context of a unit.
func (s *sparkplug) place(u *unit) error {
	if u.to != nil && u.placed == u.schema {
		return nil
	}
	var err error
	if u == s.node {
		u.to, err = s.to.Child(nodeSegment, u.name, u.schema)
	} else {
		var folder devices.Publisher
		if folder, err = s.to.Child(devicesFolder, "Devices", devices.FolderSchema); err == nil {
			u.to, err = folder.Child(u.segment, u.name, u.schema)
		}
	}
	u.placed = u.schema
	if err != nil {
		u.to = nil
	}
	return err
}

// write is the command that sets a metric.
func (s *sparkplug) write(at []string, variable string, _ int, value model.Value) (send, error) {
	u, verb, device := s.node, "NCMD", ""
	if len(at) == 2 && at[0] == devicesFolder {
		u = nil
		for _, d := range s.devices {
			if d.segment == at[1] {
				u, verb, device = d, "DCMD", d.name
			}
		}
	} else if len(at) != 1 || at[0] != nodeSegment {
		u = nil
	}
	if u == nil || u.schema == nil {
		return send{}, model.Errorf(model.KindNotFound, "there is nothing to be written")
	}
	m, err := u.command(variable, value)
	if err != nil {
		return send{}, err
	}
	now := uint64(time.Now().UnixMilli())
	m.timestamp = now
	p := payload{timestamp: now, metrics: []metric{m}}
	return send{topic: s.topic(verb, device), payload: p.encode()}, nil
}

// forget keeps the devices that were told.
func (s *sparkplug) forget(publish devices.Publisher) error {
	folder, err := publish.Child(devicesFolder, "Devices", devices.FolderSchema)
	if err != nil {
		return err
	}
	var segments []string
	for _, u := range s.devices {
		segments = append(segments, u.segment)
	}
	folder.Keep(segments)
	return nil
}
