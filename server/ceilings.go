package server

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"banyan/doctor"
	"banyan/model"
	"banyan/store"
)

// Ceilings are how much a node takes of its machine at most. They stand in the configuration file: what a machine bears does not change with its tree.
type Ceilings struct {
	// Memory is what the program keeps below, bytes, without what SQLite takes: it collects garbage more often as it comes near. 0 is what GOMEMLIMIT in
	// the environment says, else nine tenths of what its control group allows.
	Memory int64
	// Contexts is how many contexts the tree may have, mounted ones included, before more are refused; default 2,000,000. One takes about 2 KiB.
	Contexts int
	// Devices is how many devices there may be; default 10,000.
	Devices int
	// Connections is how many connections to the API may be open on which somebody proved who they are; others are refused until one is closed. Default 4096;
	// each takes a file and about 50 KiB.
	Connections int
}

const (
	defaultContexts    = 2_000_000
	defaultDevices     = 10_000
	defaultConnections = 4096
	leastMemory        = 64 << 20
)

func (c *Ceilings) validate() error {
	for _, ceiling := range []struct {
		name  string
		at    *int
		other int
		least int
	}{
		{"contexts", &c.Contexts, defaultContexts, 100}, {"devices", &c.Devices, defaultDevices, 1}, {"connections", &c.Connections, defaultConnections, 10},
	} {
		if *ceiling.at == 0 {
			*ceiling.at = ceiling.other
		}
		if *ceiling.at < ceiling.least {
			return model.Errorf(model.KindInvalid, "limits: %s is %d, at least %d is needed", ceiling.name, *ceiling.at, ceiling.least)
		}
	}
	if c.Memory != 0 && c.Memory < leastMemory {
		return model.Errorf(model.KindInvalid, "limits: memory is %s, at least %s is needed", doctor.Size(c.Memory), doctor.Size(leastMemory))
	}
	return nil
}

// parseSize reads a number of bytes: 536870912, 512MiB, 2GiB.
func parseSize(text string) (int64, error) {
	factor := int64(1)
	number := text
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, is := strings.CutSuffix(text, unit); is {
			factor, number = 1<<(10*(i+1)), strings.TrimSpace(rest)
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor {
		return 0, model.Errorf(model.KindInvalid, "%q is no size: write it like 512MiB", text)
	}
	return n * factor, nil
}

// KeepMemory lets the whole program keep below its ceiling. A program calls it once for the node that it runs.
func (c *Ceilings) KeepMemory() {
	most := c.Memory
	if most == 0 && os.Getenv("GOMEMLIMIT") == "" {
		most = doctor.MemoryAllowed() / 10 * 9
	}
	if most > 0 {
		debug.SetMemoryLimit(most)
	}
}

// room refuses a commit that would make more contexts or devices than there may be. It is asked for each commit, and costs nothing where none is made.
func (n *Node) room(changes []store.Change) error {
	contexts, machines := 0, 0
	for _, change := range changes {
		if create, is := change.(store.Create); is {
			contexts++
			if n.deviceSchemas[create.Schema] {
				machines++
			}
		}
	}
	if contexts == 0 {
		return nil
	}
	if have, _ := n.tree.Count(); have+contexts > n.cfg.Ceilings.Contexts {
		return reached("contexts", have, n.cfg.Ceilings.Contexts)
	}
	if machines > 0 {
		if have := n.devices.manager.Stats().Devices; have+machines > n.cfg.Ceilings.Devices {
			return reached("devices", have, n.cfg.Ceilings.Devices)
		}
	}
	return nil
}

// contextsLeft is how many contexts there may come to be beside those that there are.
func (n *Node) contextsLeft() int {
	have, _ := n.tree.Count()
	return n.cfg.Ceilings.Contexts - have
}

func reached(what string, have, most int) error {
	return &model.Error{
		Kind: model.KindExhausted, Detail: "there are " + strconv.Itoa(have) + " " + what + ", and at most " + strconv.Itoa(most) + " may be",
		Remedy: "remove some, or raise limits: " + what + " in the node's configuration file and start it again",
	}
}

// ceilingsFound tells how near the node is to its ceilings.
func (n *Node) ceilingsFound() []doctor.Finding {
	contexts, _ := n.tree.Count()
	var found []doctor.Finding
	for _, of := range []struct {
		what       string
		have, most int
	}{
		{"contexts", contexts, n.cfg.Ceilings.Contexts}, {"devices", n.devices.manager.Stats().Devices, n.cfg.Ceilings.Devices},
		{"connections", n.doors[DoorAPI].Stats().Inside, n.cfg.Ceilings.Connections},
	} {
		switch {
		case of.have >= of.most:
			found = append(found, doctor.Found("limits", doctor.Failed, "raise limits: "+of.what+" in the configuration file and start the node again", "%d %s are all that may be", of.have, of.what))
		case of.have > of.most/10*9:
			found = append(found, doctor.Found("limits", doctor.Warning, "raise limits: "+of.what+" in the configuration file before they are reached", "%d of %d %s are there", of.have, of.most, of.what))
		}
	}
	if len(found) == 0 {
		found = append(found, doctor.Good("limits", "%d of %d contexts, %d connections of %d", contexts, n.cfg.Ceilings.Contexts, n.doors[DoorAPI].Stats().Inside, n.cfg.Ceilings.Connections))
	}
	return found
}
