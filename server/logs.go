package server

import (
	"banyan/logging"
	"banyan/model"
	"banyan/tree"

	"github.com/hashicorp/go-hclog"
)

// The settings of /system for the log. What the configuration file says holds where they are empty.
const (
	settingLogLevel  = "log_level"
	settingLogFormat = "log_format"
)

var logSettings = []model.Setting{
	{Name: settingLogLevel, Type: model.TypeString, Right: model.RightAdminister,
		Description: "Which lines are logged: trace, debug, info, warn, error or off, and of single components behind commas, like info,peering=debug,store.mirror=trace. Empty is what the configuration file says. It holds at once."},
	{Name: settingLogFormat, Type: model.TypeString, Right: model.RightAdminister,
		Description: "In which form: text or json. Empty is what the configuration file says. It holds at once."},
}

// NewLogger makes the logger that the options ask for, named for the node. Its levels and its form change with the settings of the node's own context.
func NewLogger(o LogOptions, node string) hclog.Logger {
	levels, err := logging.ParseLevels(o.Level, hclog.Info)
	log := logging.New(logging.Config{Name: node, Levels: levels, Format: o.Format})
	if err != nil { // LoadFile has checked them
		log.Error("the log level of the configuration file cannot be read", "error", err)
	}
	return log
}

func (o *LogOptions) validate() error {
	if _, err := logging.ParseLevels(o.Level, hclog.Info); err != nil {
		return err
	}
	return logging.CheckFormat(o.Format)
}

// checkLog refuses settings that mean nothing.
func checkLog(p *Proposal) error {
	wanted := LogOptions{Level: p.After(settingLogLevel).Text(), Format: p.After(settingLogFormat).Text()}
	return wanted.validate()
}

// observeSettings makes what the node is set to itself hold at once.
func (n *Node) observeSettings(changed []tree.Context, _ []tree.Tombstone) {
	for i := range changed {
		if changed[i].Path == systemPath {
			n.setLog()
		}
	}
}

// setLog makes the log what is set. A program around the node that has a log of its own keeps it.
func (n *Node) setLog() {
	log, changes := n.log.(*logging.Log)
	c, there := n.tree.Lookup(systemPath)
	if !changes || !there {
		return
	}
	levels, format := log.Beginning()
	if text := c.SettingNamed(settingLogLevel).Text(); text != "" {
		set, err := logging.ParseLevels(text, levels.All)
		if err != nil {
			n.log.Error("the log level cannot be read", "error", err)
			return
		}
		levels = set
	}
	if text := c.SettingNamed(settingLogFormat).Text(); text != "" {
		format = text
	}
	log.Set(levels, format)
}
