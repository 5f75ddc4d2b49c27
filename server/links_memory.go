package server

import (
	"math"
	"runtime/debug"

	"banyan/doctor"
	"banyan/model"
)

// settingMemory is how much of the machine what a mount holds may take: nobody but who administers it can say where a large network ends and a bomb begins.
const settingMemory = "memory"

var memorySetting = model.Setting{
	Name: settingMemory, Type: model.TypeInt64, Unit: "B", Right: model.RightAdminister,
	Description: "How much memory what is mounted may take, about; a context takes some 1.3 KiB and 64 bytes for each variable. A node that tells more is cut off, and what it had told stays. What is left of it is for samples that somebody has not read yet, 37 bytes each. No value is 2 GiB, or half of what the program keeps below where that is less.",
}

const (
	leastMountMemory = 1 << 20
	mostMountMemory  = 2 << 30
)

// checkMountMemory refuses a size that cannot be meant.
func checkMountMemory(v model.Value) error {
	if !v.IsNone() && v.Int64() < leastMountMemory {
		return model.Errorf(model.KindInvalid, "setting %s: at least %s is needed", settingMemory, doctor.Size(leastMountMemory))
	}
	return nil
}

// mountMemory is how much a mount may take.
func mountMemory(v model.Value) int64 {
	if !v.IsNone() {
		return v.Int64()
	}
	if most := debug.SetMemoryLimit(-1); most < math.MaxInt64 {
		return min(mostMountMemory, max(leastMountMemory, most/2))
	}
	return mostMountMemory
}
