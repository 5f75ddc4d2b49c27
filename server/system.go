package server

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"time"

	"banyan/model"
	"banyan/tree"
)

// settingHosts names what the API's certificate is for.
const settingHosts = "api_hosts"

var nodeSchema = model.Schema{
	Kind: KindNode, Description: "The node itself.",
	Settings: slices.Concat([]model.Setting{{
		Name: settingHosts, Type: model.TypeString, Right: model.RightAdminister, Local: true, Default: model.String("localhost,127.0.0.1,::1"),
		Description: "DNS names and IP addresses by which people reach the API, separated by commas: they stand in its certificate from the next start on.",
	}}, auditSettings, backupSettings, sendSettings, limitSettings(), logSettings),
	Functions: slices.Concat(auditFunctions, sessionFunctions, explainFunctions, backupFunctions, doctorFunctions, identityFunctions),
	Variables: slices.Concat([]model.Variable{
		variableName:       {Name: "name", Type: model.TypeString, Description: "What people call the node."},
		variableVersion:    {Name: "version", Type: model.TypeString, Description: "Of the program."},
		variableEpoch:      {Name: "epoch", Type: model.TypeString, Description: "This life of the node."},
		variableStarted:    {Name: "started", Type: model.TypeTime, Description: "When it began."},
		variableUptime:     {Name: "uptime", Type: model.TypeDuration, Description: "How long it has lasted."},
		variableContexts:   {Name: "contexts", Type: model.TypeInt64, Description: "How many contexts the tree has, mounted ones included."},
		variableSamples:    {Name: "samples", Type: model.TypeInt64, Description: "How many samples were published since the start, those of other nodes included."},
		variableCommits:    {Name: "commits", Type: model.TypeInt64, Description: "How many commits were confirmed since the start."},
		variableFollowers:  {Name: "followers", Type: model.TypeInt64, Description: "How many streams of the API follow or watch."},
		variableSessions:   {Name: "sessions", Type: model.TypeInt64, Description: "How many people are logged in."},
		variableGoroutines: {Name: "goroutines", Type: model.TypeInt64, Description: "How many goroutines the process has."},
		variableDiskFree:   {Name: "disk_free", Type: model.TypeInt64, Unit: "B", Description: "How much room the node's disk has left."},
		variableDiskFull:   {Name: "disk_full", Type: model.TypeTime, Description: "Since when its disk is full, so that nothing can be kept; no value while it has room."},
		variableStore:      {Name: "store", Type: model.TypeInt64, Unit: "B", Description: "How much room the node's files take."},
		variableMemory:     {Name: "memory", Type: model.TypeInt64, Unit: "B", Description: "What the program holds in memory, without SQLite."},
		variableAuditHead: {Name: "audit_head", Type: model.TypeString,
			Description: "The last row of the audit log, NUMBER:HASH. Whoever remembers it can tell later whether the log still says what it said."},
	}, backupVariables),
}

// The variables of a node.
const (
	variableName = iota
	variableVersion
	variableEpoch
	variableStarted
	variableUptime
	variableContexts
	variableSamples
	variableCommits
	variableFollowers
	variableSessions
	variableGoroutines
	variableMemory
	variableDiskFree
	variableDiskFull
	variableStore
	variableAuditHead
)

// systemEvery is how often a node measures itself.
const systemEvery = 5 * time.Second

// measureSelf publishes what the node is and how it is, until ctx ends.
func (n *Node) measureSelf(ctx context.Context) error {
	ticker := time.NewTicker(systemEvery)
	defer ticker.Stop()
	for {
		n.jumps.Look(n.cfg.Now(), time.Now())
		if c, there := n.tree.Lookup(systemPath); there && c.Schema.Hash == n.kinds[KindNode].Schema.Hash {
			n.publishSelf(&c)
		}
		select {
		case <-ticker.C:
		case <-n.measure:
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *Node) publishSelf(c *tree.Context) {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	now := n.cfg.Now()
	contexts, _ := n.tree.Count()
	disk := n.storage()
	values := [...]model.Value{
		variableName: model.String(n.cfg.Name), variableVersion: model.String(n.cfg.Version), variableEpoch: model.String(n.store.Epoch().String()),
		variableStarted: model.Instant(model.TimeOf(n.started)), variableUptime: model.Duration(now.Sub(n.started)),
		variableContexts: model.Int64(int64(contexts)), variableSamples: model.Int64(int64(n.tree.Head())),
		variableCommits: model.Int64(n.commits.done.Load()), variableFollowers: model.Int64(n.api.streams.Load()),
		variableSessions: model.Int64(int64(n.sessions.count())), variableGoroutines: model.Int64(int64(runtime.NumGoroutine())),
		variableMemory:   model.Int64(int64(memory.Sys - memory.HeapReleased)),
		variableDiskFree: model.Int64(disk.free), variableDiskFull: disk.full(), variableStore: model.Int64(disk.total()),
		variableAuditHead: model.String(n.store.AuditHead().String()),
	}
	var batch tree.Batch
	for i, v := range values {
		batch.Add(c.Slots.First+tree.Slot(i), model.Sample{Value: v, Source: model.TimeOf(now)})
	}
	for name, v := range n.backups.values() {
		batch.Add(c.Slots.First+tree.Slot(c.Schema.VariableIndex(name)), model.Sample{Value: v, Source: model.TimeOf(now)})
	}
	n.tree.Publish(&batch)
}

// apiHosts are the names for the API's certificate.
func apiHosts(t *tree.Tree) []string {
	c, there := t.Lookup(systemPath)
	if !there {
		return []string{"localhost"}
	}
	var hosts []string
	for host := range strings.SplitSeq(c.SettingNamed(settingHosts).Text(), ",") {
		if host = strings.TrimSpace(host); host != "" {
			hosts = append(hosts, host)
		}
	}
	if len(hosts) == 0 {
		return []string{"localhost"}
	}
	return hosts
}
