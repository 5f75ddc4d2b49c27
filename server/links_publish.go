package server

import (
	"cmp"
	"maps"
	"time"

	"banyan/model"
	"banyan/peering"
	"banyan/pki"
	"banyan/proto/linkv1"
	"banyan/tree"
)

// publish publishes how a link is.
func (l *links) publish(name string, status peering.Status) {
	path, err := linksPath.Child(name)
	if err != nil {
		return
	}
	c, there := l.tree.Lookup(path)
	if !there || c.Schema.Kind != KindLink {
		return
	}
	state := string(status.State)
	if status.State == peering.StateDisabled && status.Detail == pki.Revoked.String() {
		state = "revoked"
	}
	values := map[string]model.Value{
		variableState: model.String(state), variableSince: model.Instant(status.Since), variableLag: model.Duration(status.Lag),
		variableDetail: model.String(status.Detail), variableAddress: model.String(status.Address), variableSkew: model.Duration(status.Skew.Round(time.Millisecond)), variableRoute: model.String(status.Route),
	}
	values[variableRehearsal] = model.String(l.rehearsals.text(name))
	if status.Beat != 0 {
		values[variableDetection] = model.Duration(2 * status.Beat)
	}
	if status.Failed != 0 {
		values[variableProblem], values[variableProblemAt] = model.String(status.Problem), model.Instant(status.Failed)
	}
	maps.Copy(values, l.shelf.values(&c))
	maps.Copy(values, l.sent.values(name))
	maps.Copy(values, l.carriedValues(&c))
	l.publishValues(&c, values)
	if roleOf(&c) != pki.RoleConsumer {
		return
	}
	feeds := make(map[string]*peering.FeedStatus)
	for i := range status.Feeds {
		feeds[status.Feeds[i].Mount] = &status.Feeds[i]
	}
	l.mu.RLock()
	below := l.below[name]
	l.mu.RUnlock()
	for _, path := range below {
		m, there := l.tree.Lookup(path)
		if feed := feeds[path.Base()]; there && feed != nil {
			l.publishMount(&m, feed, cutText(name, &status, feed))
		}
	}
}

// cutText names the link over which a mount is stale, and why; empty where the link is not what is cut.
func cutText(name string, link *peering.Status, feed *peering.FeedStatus) string {
	state, why := link.State, link.Detail
	if state == peering.StatePartial { // others of its mounts are up
		state, why = feed.State, feed.Detail
	}
	if state == peering.StateUp {
		return ""
	}
	return "link " + name + " is " + string(state) + because(why)
}

func (l *links) publishMount(c *tree.Context, feed *peering.FeedStatus, cut string) {
	path, err := model.ParsePath(c.SettingNamed(settingPath).Text())
	if err != nil {
		return
	}
	state, detail, since := "good", "", feed.Since
	if o, stale := l.tree.Staleness(path); stale && o.Before == 0 {
		state, detail, since = "stale", cmp.Or(cut, o.Hop), o.Since
	}
	switch {
	case feed.State == peering.StateWithdrawn, feed.State == peering.StateRefused:
		state, detail, since = string(feed.State), feed.Detail, feed.Since
	case feed.Loop != "":
		state, detail = "loop", "loop: "+feed.Loop
	}
	values := map[string]model.Value{
		variableState: model.String(state), variableSince: model.Instant(since),
		variableMounted: model.Int64(int64(feed.Contexts)), variableDetail: model.String(detail), variableWanted: model.String(wantedText(feed.Wanted)),
		variableRefused:    model.String(feed.Refused),
		variableLagChanges: model.Duration(0), variableLagSamples: model.Duration(0),
	}
	if feed.AsOf != 0 {
		values[variableAsOf] = model.Instant(feed.AsOf)
	}
	for _, lane := range feed.Lanes {
		switch lane.Kind {
		case linkv1.LaneKind_LANE_KIND_CHANGES:
			values[variableLagChanges] = model.Duration(lane.Behind)
		case linkv1.LaneKind_LANE_KIND_SAMPLES:
			values[variableLagSamples] = model.Duration(lane.Behind)
		}
	}
	l.publishValues(c, values)
}

// publishValues publishes those values of an own context that changed.
func (l *links) publishValues(c *tree.Context, values map[string]model.Value) {
	now := model.TimeOf(l.node.cfg.Now())
	var batch tree.Batch
	for i := range c.Schema.Variables {
		name := c.Schema.Variables[i].Name
		value, given := values[name]
		if !given {
			continue
		}
		r, there := l.tree.Read(model.Address{Path: c.Path, Name: name})
		if there && r.Sample.Value.Equal(value) && r.Sample.Quality == model.QualityGood && name != variableLag {
			continue
		}
		batch.Add(c.Slots.First+tree.Slot(i), model.Sample{Value: value, Source: now})
	}
	l.tree.Publish(&batch)
}

// publishAll publishes how all links are.
func (l *links) publishAll() {
	for _, c := range directlyBelow(l.tree, linksPath) {
		if c.Schema.Kind != KindLink {
			continue
		}
		if status, there := l.hub.Status(c.Path.Base()); there {
			l.publish(c.Path.Base(), status)
			continue
		}
		state, detail := "invited", "nobody has joined yet"
		if c.SettingNamed(settingPeer).Text() != "" {
			state, detail = "incomplete", "the link cannot be used as it is set; the log says why"
		}
		l.publishValues(&c, map[string]model.Value{variableState: model.String(state), variableDetail: model.String(detail)})
	}
}

// Traffic is what passed over links.
func (l *links) Traffic() peering.Traffic { return l.hub.Traffic() }

// LinkStates counts links by state, and what they carry.
func (l *links) LinkStates() (links, feeds map[string]int) {
	links, feeds = make(map[string]int), make(map[string]int)
	for _, c := range directlyBelow(l.tree, linksPath) {
		status, there := l.hub.Status(c.Path.Base())
		if !there {
			continue
		}
		links[string(status.State)]++
		for i := range status.Feeds {
			feeds[string(status.Feeds[i].State)]++
		}
	}
	return links, feeds
}
