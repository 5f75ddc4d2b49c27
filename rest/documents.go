package rest

import "banyan/proto/apiv1"

// Reading is a setting or a variable as it is now, with everything that says how far it can be trusted.
type Reading struct {
	Path      string   `json:"path" example:"/devices/local" doc:"The context."`
	Name      string   `json:"name" example:"cpu_percent" doc:"The setting or variable."`
	Type      TypeName `json:"type" example:"float64" doc:"Of the value; none where there is no value."`
	Value     Value    `json:"value" doc:"In the JSON form of its type. A secret setting has none in any answer."`
	Unit      string   `json:"unit,omitempty" example:"%" doc:"Of the value."`
	Quality   Quality  `json:"quality" example:"good" doc:"How far the value can be trusted. What is behind a link that is cut is uncertain."`
	Reason    string   `json:"reason,omitempty" example:"stale" doc:"Why the quality is not good, such as stale, no-response, not-yet-read, disabled, suspended, device-error."`
	Since     string   `json:"since,omitempty" format:"date-time" example:"2026-01-02T03:04:05.678Z" doc:"Since when the quality is what it is, where that is known."`
	Time      string   `json:"time,omitempty" format:"date-time" example:"2026-01-02T03:04:05.678Z" doc:"When it was so, by the clock of what was observed."`
	Published string   `json:"published,omitempty" format:"date-time" example:"2026-01-02T03:04:05.679Z" doc:"When its owner published it, by the owner's clock."`
	Received  string   `json:"received,omitempty" format:"date-time" example:"2026-01-02T03:04:05.690Z" doc:"When this node got it."`
	Revision  string   `json:"revision,omitempty" example:"7-0123456789abcdef@42" doc:"Of the context; settings only."`
	Via       []string `json:"via,omitempty" nullable:"false" example:"[\"region-north\",\"berlin\"]" doc:"The nodes between this one and the owner, the owner last. Absent for what this node owns."`
	AsOf      string   `json:"as_of,omitempty" format:"date-time" example:"2026-01-02T03:04:05.690Z" doc:"Of another node's, where a single value is asked for: when it was known to be true, by this node's clock."`
}

func readingOf(r *apiv1.Reading) Reading {
	return Reading{
		Path: r.GetPath(), Name: r.GetName(), Type: TypeName(r.GetType()), Value: Value{r.GetValue()}, Unit: r.GetUnit(), Quality: Quality(r.GetQuality()),
		Reason: r.GetReason(), Since: r.GetSince(), Time: r.GetTime(), Published: r.GetPublished(), Received: r.GetReceived(),
		Revision: r.GetRevision(), Via: r.GetVia(), AsOf: r.GetAsOf(),
	}
}

func readingsOf(list []*apiv1.Reading) []Reading {
	out := make([]Reading, len(list))
	for i, r := range list {
		out[i] = readingOf(r)
	}
	return out
}

// Context is a context with everything of it that the caller may see.
type Context struct {
	Path        string     `json:"path" example:"/devices/local" doc:"In this node's tree."`
	ID          string     `json:"id" doc:"For life, whatever becomes of the path: NODE/EPOCH/NUMBER."`
	Kind        string     `json:"kind" example:"host" doc:"What sort of context it is; contexts of one kind have the same settings, variables and functions, but for devices with a profile."`
	Label       string     `json:"label,omitempty" example:"The gateway itself" doc:"For people; any text."`
	Description string     `json:"description,omitempty" doc:"Of the kind."`
	Revision    string     `json:"revision" example:"7-0123456789abcdef@42" doc:"Of the settings, the kind and the label; send it as If-Match in order to change what was read and nothing newer. It is in the header ETag, too."`
	Settings    []Setting  `json:"settings" nullable:"false" doc:"What is wanted: durable, set by people."`
	Variables   []Variable `json:"variables" nullable:"false" doc:"What is observed."`
	Functions   []Function `json:"functions" nullable:"false" doc:"What can be called."`
	Via         []string   `json:"via,omitempty" nullable:"false" doc:"The nodes between this one and the owner, the owner last."`
	Stale       string     `json:"stale,omitempty" format:"date-time" doc:"Since when it is not known how it is, because a link is cut."`
	Hop         string     `json:"hop,omitempty" doc:"Where the way to its owner is cut."`
	Freshness   *Freshness `json:"freshness,omitempty" doc:"How fresh it is, of another node's."`
}

// Freshness says how fresh what another node owns is here.
type Freshness struct {
	AsOf string         `json:"as_of,omitempty" format:"date-time" doc:"All of it was true then, by this node's clock. Absent where that is not known."`
	Hops []FreshnessHop `json:"hops" nullable:"false" doc:"The way to the owner: the hop to this node first, the one from the owner last."`
}

// FreshnessHop says how far one node on the way is behind the one before it.
type FreshnessHop struct {
	Path          string `json:"path" doc:"Where what comes over this hop hangs."`
	From          string `json:"from" example:"berlin" doc:"Whose it is, or who passes it on."`
	To            string `json:"to" example:"region-north" doc:"Who has mounted it."`
	State         string `json:"state" example:"up" doc:"Of the link between them: up, catching-up, stalled, stale, connecting and others; unknown where nobody has told."`
	Since         string `json:"since,omitempty" format:"date-time" doc:"Since when it is in this state."`
	AsOf          string `json:"as_of,omitempty" format:"date-time" doc:"What comes over it was true then."`
	Lag           string `json:"lag,omitempty" example:"12ms" doc:"Round trip of the newest heartbeat."`
	Skew          string `json:"skew,omitempty" example:"1h0m0s" doc:"How far the clock of from is ahead of the clock of to, negative for behind."`
	ChangesBehind string `json:"changes_behind,omitempty" example:"3s" doc:"For how long contexts and settings are missing that were told. Absent where none are."`
	SamplesBehind string `json:"samples_behind,omitempty" example:"3s" doc:"For how long samples are missing that were told."`
	Interval      string `json:"interval,omitempty" example:"0s" doc:"Samples come at least this far apart; 0s is each as it comes, never none."`
}

func freshnessOf(f *apiv1.Freshness) *Freshness {
	if f == nil {
		return nil
	}
	out := &Freshness{AsOf: f.GetAsOf(), Hops: []FreshnessHop{}}
	for _, h := range f.GetHops() {
		out.Hops = append(out.Hops, FreshnessHop{
			h.GetPath(), h.GetFrom(), h.GetTo(), h.GetState(), h.GetSince(), h.GetAsOf(), h.GetLag(), h.GetSkew(), h.GetChangesBehind(), h.GetSamplesBehind(), h.GetInterval(),
		})
	}
	return out
}

// Setting is a setting of a context, with what is declared of it.
type Setting struct {
	Reading
	Description string    `json:"description,omitempty" doc:"What it is for."`
	Right       RightName `json:"right" doc:"Needed to set it."`
	Secret      bool      `json:"secret,omitempty" doc:"It can be written and never be read."`
	Local       bool      `json:"local,omitempty" doc:"It can be set at its owner only, not over a link."`
}

// Variable is a variable of a context, with what is declared of it.
type Variable struct {
	Reading
	Description string    `json:"description,omitempty" doc:"What it says."`
	Writable    bool      `json:"writable,omitempty" doc:"It can be set: the value is passed to the device."`
	Right       RightName `json:"right,omitempty" doc:"Needed to set it."`
}

// Function is a function of a context.
type Function struct {
	Name        string    `json:"name" example:"poll_now" doc:"By which it is called."`
	Description string    `json:"description,omitempty" doc:"What it does."`
	Right       RightName `json:"right" doc:"Needed to call it."`
	Parameters  []Field   `json:"parameters" nullable:"false" doc:"What it takes."`
	Results     []Field   `json:"results" nullable:"false" doc:"What it answers."`
	Idempotent  bool      `json:"idempotent,omitempty" doc:"Calling it twice does what calling it once does."`
	Local       bool      `json:"local,omitempty" doc:"It can be called at its owner only, not over a link."`
}

// Field is a parameter or a result of a function.
type Field struct {
	Name        string   `json:"name" example:"lifetime" doc:"Of the parameter or result."`
	Type        TypeName `json:"type" example:"duration" doc:"Of its value."`
	Unit        string   `json:"unit,omitempty" doc:"Of its value."`
	Description string   `json:"description,omitempty" doc:"What it means."`
	Optional    bool     `json:"optional,omitempty" doc:"It may be left out."`
}

func contextOf(c *apiv1.ContextInfo) Context {
	out := Context{
		Path: c.GetPath(), ID: c.GetId(), Kind: c.GetKind(), Label: c.GetLabel(), Description: c.GetDescription(), Revision: c.GetRevision(),
		Via: c.GetVia(), Stale: c.GetStale(), Hop: c.GetHop(), Freshness: freshnessOf(c.GetFreshness()),
		Settings: []Setting{}, Variables: []Variable{}, Functions: []Function{},
	}
	for _, s := range c.GetSettings() {
		out.Settings = append(out.Settings, Setting{
			Reading: readingOf(s.GetReading()), Description: s.GetDescription(), Right: RightName(s.GetRight()), Secret: s.GetSecret(), Local: s.GetLocal(),
		})
	}
	for _, v := range c.GetVariables() {
		out.Variables = append(out.Variables, Variable{
			Reading: readingOf(v.GetReading()), Description: v.GetDescription(), Writable: v.GetWritable(), Right: RightName(v.GetRight()),
		})
	}
	for _, f := range c.GetFunctions() {
		out.Functions = append(out.Functions, Function{
			Name: f.GetName(), Description: f.GetDescription(), Right: RightName(f.GetRight()), Idempotent: f.GetIdempotent(), Local: f.GetLocal(),
			Parameters: fieldsOf(f.GetParameters()), Results: fieldsOf(f.GetResults()),
		})
	}
	return out
}

func fieldsOf(list []*apiv1.FieldInfo) []Field {
	out := make([]Field, len(list))
	for i, f := range list {
		out[i] = Field{Name: f.GetName(), Type: TypeName(f.GetType()), Unit: f.GetUnit(), Description: f.GetDescription(), Optional: f.GetOptional()}
	}
	return out
}

// Child is what lies directly below a path: a context, or a place on the way to one.
type Child struct {
	Path    string   `json:"path" example:"/devices/local" doc:"In this node's tree."`
	Kind    string   `json:"kind,omitempty" example:"host" doc:"Absent where the path is only a place on the way to what may be seen."`
	Label   string   `json:"label,omitempty" doc:"For people."`
	Parent  bool     `json:"parent,omitempty" doc:"Something lies below it."`
	Via     []string `json:"via,omitempty" nullable:"false" doc:"The nodes between this one and the owner, the owner last."`
	Stale   string   `json:"stale,omitempty" format:"date-time" doc:"Since when it is not known how it is."`
	Newest  string   `json:"newest,omitempty" format:"date-time" doc:"The source time of the newest sample of its variables."`
	Quality Quality  `json:"quality,omitempty" doc:"The worst of its variables."`
	Reason  string   `json:"reason,omitempty" doc:"Why that is not good."`
	State   string   `json:"state,omitempty" example:"ok" doc:"Of a device or a link."`
}

// Children is a page of what lies directly below a path.
type Children struct {
	Children []Child `json:"children" nullable:"false" doc:"In the order of their names."`
	Next     string  `json:"next,omitempty" example:"local" doc:"There are more: give this as the parameter after."`
}

func childrenOf(l *apiv1.ListResponse) Children {
	out := Children{Children: []Child{}}
	for _, e := range l.GetEntries() {
		out.Children = append(out.Children, Child{
			Path: e.GetPath(), Kind: e.GetKind(), Label: e.GetLabel(), Parent: e.GetParent(), Via: e.GetVia(), Stale: e.GetStale(),
			Newest: e.GetNewest(), Quality: Quality(e.GetQuality()), Reason: e.GetReason(), State: e.GetState(),
		})
	}
	if l.GetMore() && len(out.Children) > 0 {
		last := out.Children[len(out.Children)-1].Path
		out.Next = base(last)
	}
	return out
}
