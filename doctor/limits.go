package doctor

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fewFiles is how many open files are few for a node: each link, each client and each device takes some.
const fewFiles = 4096

// OpenFiles looks how many files the process may open.
func OpenFiles() Finding {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Found("open files", Unknown, "", "the limit cannot be read: %v", err)
	}
	used := -1
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		used = len(entries) - 1
	}
	return openFiles(used, limit.Cur)
}

func openFiles(used int, most uint64) Finding {
	state := OK
	switch {
	case used >= 0 && uint64(used) > most-most/10:
		state = Failed
	case most < fewFiles, used >= 0 && uint64(used) > most/2:
		state = Warning
	}
	return Found("open files", state, "raise LimitNOFILE of the service, or ulimit -n, to 65536", "%d are open, %d are allowed", used, most)
}

// Memory looks how much memory the process may take, by its control group, and whether the program knows.
func Memory() Finding {
	return memory(cgroup("/proc/self/cgroup", "/sys/fs/cgroup"), debug.SetMemoryLimit(-1))
}

// MemoryAllowed is how much memory the control group of the process may take, bytes; 0 where there is no limit.
func MemoryAllowed() int64 { return cgroup("/proc/self/cgroup", "/sys/fs/cgroup").most }

// group is what a control group says of memory, bytes; most is 0 where there is no limit.
type group struct{ used, most int64 }

func memory(g group, program int64) Finding {
	const remedy = "give the node more memory, or fewer contexts; MemoryMax of the service says how much it may take"
	const none = int64(^uint64(0) >> 1)
	switch {
	case g.most == 0 && program == none:
		return Good("memory", "no limit is set")
	case g.most == 0:
		return Good("memory", "the program keeps below %s", Size(program))
	case g.used > g.most-g.most/20:
		return Found("memory", Failed, remedy, "%s of %s are taken", Size(g.used), Size(g.most))
	case program == none:
		return Found("memory", Warning, "set limits.memory in the node's configuration file to nine tenths of it, so that it is kept to", "%s of %s are taken, and the program does not know of that limit", Size(g.used), Size(g.most))
	case g.used > g.most-g.most/5:
		return Found("memory", Warning, remedy, "%s of %s are taken", Size(g.used), Size(g.most))
	}
	return Good("memory", "%s of %s are taken", Size(g.used), Size(g.most))
}

// cgroup reads the limits of version 2; the tightest of all groups around the process holds.
func cgroup(membership, root string) group {
	raw, err := os.ReadFile(membership)
	if err != nil {
		return group{}
	}
	var tightest group
	for line := range strings.Lines(string(raw)) {
		path, is := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !is {
			continue
		}
		for dir := filepath.Join(root, path); strings.HasPrefix(dir, root); dir = filepath.Dir(dir) {
			most := number(filepath.Join(dir, "memory.max"))
			if most > 0 && (tightest.most == 0 || most < tightest.most) {
				tightest = group{number(filepath.Join(dir, "memory.current")), most}
			}
			if dir == root {
				break
			}
		}
	}
	return tightest
}

// number reads a file that holds a number; 0 where it does not.
func number(file string) int64 {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Ping looks whether the process may send echo requests: by the capability, or by a group that the system lets.
func Ping() Finding {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_RAW) != 0 {
		return Good("ping", "the node has CAP_NET_RAW")
	}
	raw, err := os.ReadFile("/proc/sys/net/ipv4/ping_group_range")
	if err == nil && pingGroups(string(raw), append([]int{os.Getegid()}, groups()...)) {
		return Good("ping", "the group of the node may send echo requests (net.ipv4.ping_group_range)")
	}
	return Found("ping", Failed, "give the service CAP_NET_RAW (AmbientCapabilities=CAP_NET_RAW), or set net.ipv4.ping_group_range",
		"devices of the kind ping are set up, and the node may not send echo requests")
}

func groups() []int {
	list, err := os.Getgroups()
	if err != nil {
		return nil
	}
	return list
}

func pingGroups(text string, groups []int) bool {
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return false
	}
	first, errFirst := strconv.ParseInt(fields[0], 10, 64)
	last, errLast := strconv.ParseInt(fields[1], 10, 64)
	for _, g := range groups {
		if errFirst == nil && errLast == nil && int64(g) >= first && int64(g) <= last {
			return true
		}
	}
	return false
}
