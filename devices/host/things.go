package host

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/net"

	"banyan/model"
)

var errNotTold = errors.New("the system does not tell")

// readDisks reads mounted file systems that lie on devices of this machine: network file systems are left out, since asking one whose
// server is away can take for ever. A device mounted at several places is shown once, at the shortest path.
func readDisks(ctx context.Context) ([]thing, error) {
	mounted, err := disk.PartitionsWithContext(ctx, false)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(mounted, func(a, b disk.PartitionStat) int { return compareNames(a.Mountpoint, b.Mountpoint) })
	counters, _ := disk.IOCountersWithContext(ctx) // each disk says for itself that its counters are missing
	seen := map[string]bool{}
	var things []thing
	for _, m := range mounted {
		if seen[m.Device] || seen["at "+m.Mountpoint] || len(things) == maxThings {
			continue
		}
		seen[m.Device], seen["at "+m.Mountpoint] = true, true
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		t := thing{name: m.Mountpoint}
		usage, err := disk.UsageWithContext(ctx, m.Mountpoint)
		if err != nil {
			usage = &disk.UsageStat{}
		}
		t.batch.add(diskTotal, count(usage.Total), err)
		t.batch.add(diskUsed, count(usage.Used), err)
		t.batch.add(diskFree, count(usage.Free), err)
		t.batch.add(diskUsedPercent, model.Float64(usage.UsedPercent), err)
		t.batch.add(diskDevice, model.String(m.Device), nil)
		t.batch.add(diskFileSystem, model.String(m.Fstype), nil)
		io, told := counters[counterName(m.Device)]
		err = nil
		if !told {
			err = errNotTold
		}
		t.batch.add(diskReadBytes, count(io.ReadBytes), err)
		t.batch.add(diskWrittenBytes, count(io.WriteBytes), err)
		t.batch.add(diskReads, count(io.ReadCount), err)
		t.batch.add(diskWrites, count(io.WriteCount), err)
		things = append(things, t)
	}
	return things, nil
}

// counterName is the name under which the system counts for a device: of /dev/mapper/data it is dm-0, of C: it is C:.
func counterName(device string) string {
	if !strings.HasPrefix(device, "/dev/") {
		return device
	}
	if real, err := filepath.EvalSymlinks(device); err == nil {
		device = real
	}
	return filepath.Base(device)
}

// readInterfaces reads all network interfaces, those that are down too.
func readInterfaces(ctx context.Context) ([]thing, error) {
	interfaces, err := net.InterfacesWithContext(ctx)
	if err != nil {
		return nil, err
	}
	told, err := net.IOCountersWithContext(ctx, true)
	if err != nil {
		return nil, err
	}
	counters := make(map[string]net.IOCountersStat, len(told))
	for _, c := range told {
		counters[c.Name] = c
	}
	var things []thing
	for _, i := range interfaces {
		t := thing{name: i.Name}
		c, told := counters[i.Name]
		var err error
		if !told {
			err = errNotTold
		}
		t.batch.add(interfaceUp, model.Bool(slices.Contains(i.Flags, "up")), nil)
		t.batch.add(interfaceMTU, model.Int64(int64(i.MTU)), nil)
		t.batch.add(interfaceHardware, model.String(i.HardwareAddr), nil)
		t.batch.add(interfaceReceivedBytes, count(c.BytesRecv), err)
		t.batch.add(interfaceSentBytes, count(c.BytesSent), err)
		t.batch.add(interfaceReceivedPackets, count(c.PacketsRecv), err)
		t.batch.add(interfaceSentPackets, count(c.PacketsSent), err)
		t.batch.add(interfaceReceiveErrors, count(c.Errin), err)
		t.batch.add(interfaceSendErrors, count(c.Errout), err)
		t.batch.add(interfaceReceiveDrops, count(c.Dropin), err)
		t.batch.add(interfaceSendDrops, count(c.Dropout), err)
		things = append(things, t)
	}
	return things, nil
}
