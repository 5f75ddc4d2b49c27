package topologies

import (
	"strconv"
	"time"

	"banyan/model"
	"banyan/server"
	"banyan/yamlfile"

	"go.yaml.in/yaml/v4"
)

// everySample is the pace where the file names none.
var everySample = Pace{Interval: "live"}

// pace reads one of the keys of how often the samples of a mount are wanted.
func (p *parser) pace(e yamlfile.Entry, to *Pace) {
	text, ok := p.Text(e.Value, "the "+e.Name)
	if !ok {
		return
	}
	read := *to
	if e.Name == "interval" {
		read.Interval = text
	} else {
		number, err := strconv.ParseFloat(text, 64)
		if err != nil {
			p.Add(yamlfile.MarkOf(e.Value), typeRemedy(model.TypeFloat64)+", like 0.5", "the deadband is %.80q", text)
			return
		}
		read.Deadband = number
	}
	if err := server.CheckPace(read.Interval, read.Deadband); err != nil {
		p.refused(e.Value, "write live, never or a time like 10m as the interval, and 0 or more as the deadband", err)
		return
	}
	*to = read
}

// beat reads how far apart heartbeats are to be.
func (p *parser) beat(n *yaml.Node) time.Duration {
	text, ok := p.Text(n, "the beat")
	if !ok {
		return 0
	}
	beat, err := time.ParseDuration(text)
	if err != nil {
		p.Add(yamlfile.MarkOf(n), "write it like 10s or 1m", "the beat is %.80q", text)
		return 0
	}
	if err := server.CheckBeat(beat); err != nil {
		p.refused(n, "write it like 10s or 1m: a cut is noticed after two", err)
		return 0
	}
	return beat
}

// refused reports a setting that a node would refuse.
func (p *parser) refused(n *yaml.Node, remedy string, err error) {
	_, text := refusedSetting(err)
	p.Add(yamlfile.MarkOf(n), remedy, "%s", text)
}
