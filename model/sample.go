package model

// Sample is one observation of a variable.
type Sample struct {
	Value   Value
	Quality Quality
	Source  Time // when it was so, by the clock of what was observed or of who observed it
	Owner   Time // when its owner published it, by the owner's clock
}

// Reading is the answer to "what is it now?": a setting or a variable, with everything that says how far it can be trusted.
type Reading struct {
	Path     Path
	Name     string
	Sample   Sample
	Unit     string
	Since    Time     // since when the quality is what it is, where that is known
	Received Time     // when this node got the sample
	Revision Revision // of a setting
	Via      []string // the names of the nodes between here and the owner, the nearest first, the owner last
	Setting  bool     // a setting, not a variable
}

// MarshalJSON is the reading's JSON form: the fields of Value beside path, name, quality, times and route.
func (r Reading) MarshalJSON() ([]byte, error) {
	to := append([]byte(`{"path":`), appendText(nil, r.Path.String())...)
	text := func(key, value string) {
		if value == "" {
			return
		}
		to = append(append(append(to, ',', '"'), key...), '"', ':')
		to = appendText(to, value)
	}
	text("name", r.Name)
	text("type", r.Sample.Value.Type().String())
	to = append(to, `,"value":`...)
	to = r.Sample.Value.AppendJSON(to)
	text("unit", r.Unit)
	text("quality", r.Sample.Quality.Level.String())
	text("reason", r.Sample.Quality.Reason.String())
	text("since", r.Since.String())
	text("time", r.Sample.Source.String())
	text("published", r.Sample.Owner.String())
	text("received", r.Received.String())
	if r.Setting {
		text("revision", r.Revision.String())
	}
	if len(r.Via) > 0 {
		to = append(to, `,"via":[`...)
		for i, node := range r.Via {
			if i > 0 {
				to = append(to, ',')
			}
			to = appendText(to, node)
		}
		to = append(to, ']')
	}
	return append(to, '}'), nil
}
