package devices

import (
	"slices"
	"time"

	"banyan/model"
)

// Names of the settings, variables and functions that every device has.
const (
	SettingPollInterval = "poll_interval"
	SettingTimeout      = "timeout"
	SettingEnabled      = "enabled"
	SettingParent       = "parent"

	// SettingProfile is no common setting, but what each driver that has profiles calls the one that names it: a device is started anew when
	// the profile was changed. Empty means that the driver chooses.
	SettingProfile = "profile"

	VariableState            = "state"
	VariableStateSince       = "state_since"
	VariableLastError        = "last_error"
	VariablePolls            = "polls"
	VariableLastPollDuration = "last_poll_duration"

	FunctionPollNow = "poll_now"
)

// Defaults and bounds of the common settings.
const (
	DefaultPollInterval = 10 * time.Second
	MinPollInterval     = 10 * time.Millisecond
	MaxPollInterval     = 30 * 24 * time.Hour
	DefaultTimeout      = 5 * time.Second
	MinTimeout          = time.Millisecond
	MaxTimeout          = 10 * time.Minute
)

// Where the common variables stand, counted from the first one behind the driver's own.
const (
	offsetState = iota
	offsetStateSince
	offsetLastError
	offsetPolls
	offsetLastPollDuration
)

var commonVariables = []model.Variable{
	offsetState: {Name: VariableState, Type: model.TypeString,
		Description: "What the device is doing: starting, ok, no-response, failed, suspended, disabled or misconfigured."},
	offsetStateSince: {Name: VariableStateSince, Type: model.TypeTime,
		Description: "Since when the state is what it is."},
	offsetLastError: {Name: VariableLastError, Type: model.TypeString,
		Description: "Why the state is not ok; empty while it is."},
	offsetPolls: {Name: VariablePolls, Type: model.TypeInt64,
		Description: "How many polls were done since the device was started, failed ones included."},
	offsetLastPollDuration: {Name: VariableLastPollDuration, Type: model.TypeDuration,
		Description: "How long the last poll took."},
}

// Complete is a driver's schema with the common entries behind its own: the schema of the context, with which the node encodes,
// hashes and checks. The indexes of the driver's entries are the same in both.
func Complete(own *model.Schema) *model.Schema {
	s := *own
	s.Settings = slices.Concat(own.Settings, []model.Setting{
		{Name: SettingPollInterval, Type: model.TypeDuration, Default: model.Duration(DefaultPollInterval), Right: model.RightConfigure,
			Description: "Time from the beginning of one regular poll to the next, 10ms to 720h."},
		{Name: SettingTimeout, Type: model.TypeDuration, Default: model.Duration(DefaultTimeout), Right: model.RightConfigure,
			Description: "How long a poll may take, 1ms to 10m, before the device counts as not responding."},
		{Name: SettingEnabled, Type: model.TypeBool, Default: model.Bool(true), Right: model.RightConfigure,
			Description: "False switches the device off: no polls, no calls; its last values can still be read."},
		{Name: SettingParent, Type: model.TypeRef, Right: model.RightConfigure,
			Description: "A device of this node through which this one is reached: while that does not respond, this one is suspended."},
	})
	s.Variables = slices.Concat(own.Variables, commonVariables)
	s.Functions = slices.Concat(own.Functions, []model.Function{{
		Name: FunctionPollNow, Right: model.RightOperate,
		Description: "Polls the device once, beside its schedule, and answers when what was read is published.",
		Results: []model.Field{
			{Name: "time", Type: model.TypeTime, Description: "When the poll began: what it read is not older."},
			{Name: "duration", Type: model.TypeDuration, Description: "How long it took."},
			{Name: "polls", Type: model.TypeInt64, Description: "How many polls were done, this one included."},
		},
	}})
	return &s
}

// timing is what the schedule needs of the common settings.
type timing struct {
	interval time.Duration
	timeout  time.Duration
}

// timingOf checks the common settings.
func timingOf(s Settings) (timing, error) {
	t := timing{interval: s[SettingPollInterval].Duration(), timeout: s[SettingTimeout].Duration()}
	if t.interval < MinPollInterval || t.interval > MaxPollInterval {
		return t, BadSetting(SettingPollInterval, "%s is outside of %s to %s", t.interval, MinPollInterval, MaxPollInterval)
	}
	if t.timeout < MinTimeout || t.timeout > MaxTimeout {
		return t, BadSetting(SettingTimeout, "%s is outside of %s to %s", t.timeout, MinTimeout, MaxTimeout)
	}
	_, _, err := parentOf(s)
	return t, err
}
