package host

import "banyan/model"

// The driver's variables, by their index in the schema.
const (
	variableCPUPercent = iota
	variableLoad1
	variableLoad5
	variableLoad15
	variableMemoryUsedPercent
	variableMemoryTotal
	variableMemoryAvailable
	variableSwapUsedPercent
	variableSwapTotal
	variableUptime
	variableBootTime
	variableProcesses
	variableHostname
	variableOS
	variablePlatform
	variableKernel
	variableArchitecture
)

var schema = &model.Schema{
	Kind:        Kind,
	Description: "The machine on which the node runs.",
	Settings: []model.Setting{
		{Name: "disks", Type: model.TypeBool, Default: model.Bool(true), Right: model.RightConfigure, Description: "Show a child for each local disk, below disks."},
		{Name: "interfaces", Type: model.TypeBool, Default: model.Bool(true), Right: model.RightConfigure, Description: "Show a child for each network interface, below interfaces."},
	},
	Variables: []model.Variable{
		variableCPUPercent:        {Name: "cpu_percent", Type: model.TypeFloat64, Unit: "%", Description: "Share of time in which cores were busy since the last poll, all cores together."},
		variableLoad1:             {Name: "load1", Type: model.TypeFloat64, Description: "Processes that run or wait to run, averaged over one minute."},
		variableLoad5:             {Name: "load5", Type: model.TypeFloat64, Description: "The same over five minutes."},
		variableLoad15:            {Name: "load15", Type: model.TypeFloat64, Description: "The same over fifteen minutes."},
		variableMemoryUsedPercent: {Name: "memory_used_percent", Type: model.TypeFloat64, Unit: "%", Description: "Share of memory in use, caches not counted."},
		variableMemoryTotal:       {Name: "memory_total", Type: model.TypeInt64, Unit: "B", Description: "Memory of the machine."},
		variableMemoryAvailable:   {Name: "memory_available", Type: model.TypeInt64, Unit: "B", Description: "Memory that programs can get without swapping."},
		variableSwapUsedPercent:   {Name: "swap_used_percent", Type: model.TypeFloat64, Unit: "%", Description: "Share of swap space in use; 0 where there is none."},
		variableSwapTotal:         {Name: "swap_total", Type: model.TypeInt64, Unit: "B", Description: "Swap space of the machine."},
		variableUptime:            {Name: "uptime", Type: model.TypeDuration, Description: "Time since the system started."},
		variableBootTime:          {Name: "boot_time", Type: model.TypeTime, Description: "When the system started."},
		variableProcesses:         {Name: "processes", Type: model.TypeInt64, Description: "How many processes there are."},
		variableHostname:          {Name: "hostname", Type: model.TypeString, Description: "The name that the machine calls itself."},
		variableOS:                {Name: "os", Type: model.TypeString, Description: "The operating system: linux, darwin, windows."},
		variablePlatform:          {Name: "platform", Type: model.TypeString, Description: "The distribution and its version."},
		variableKernel:            {Name: "kernel", Type: model.TypeString, Description: "The version of the kernel."},
		variableArchitecture:      {Name: "architecture", Type: model.TypeString, Description: "The processor's architecture."},
	},
}

// The variables of a disk.
const (
	diskTotal = iota
	diskUsed
	diskFree
	diskUsedPercent
	diskDevice
	diskFileSystem
	diskReadBytes
	diskWrittenBytes
	diskReads
	diskWrites
)

var diskSchema = &model.Schema{
	Kind:        Kind + ".disk",
	Description: "A mounted file system; the label is where it is mounted.",
	Variables: []model.Variable{
		diskTotal:        {Name: "total", Type: model.TypeInt64, Unit: "B", Description: "Size of the file system."},
		diskUsed:         {Name: "used", Type: model.TypeInt64, Unit: "B", Description: "Space in use."},
		diskFree:         {Name: "free", Type: model.TypeInt64, Unit: "B", Description: "Space that ordinary users can get."},
		diskUsedPercent:  {Name: "used_percent", Type: model.TypeFloat64, Unit: "%", Description: "Share in use of what ordinary users can have."},
		diskDevice:       {Name: "device", Type: model.TypeString, Description: "The device that it is on."},
		diskFileSystem:   {Name: "file_system", Type: model.TypeString, Description: "The kind of file system."},
		diskReadBytes:    {Name: "read_bytes", Type: model.TypeInt64, Unit: "B", Description: "Read from the device since the system started."},
		diskWrittenBytes: {Name: "written_bytes", Type: model.TypeInt64, Unit: "B", Description: "Written to the device since the system started."},
		diskReads:        {Name: "reads", Type: model.TypeInt64, Description: "Read operations since the system started."},
		diskWrites:       {Name: "writes", Type: model.TypeInt64, Description: "Write operations since the system started."},
	},
}

// The variables of a network interface.
const (
	interfaceUp = iota
	interfaceMTU
	interfaceHardware
	interfaceReceivedBytes
	interfaceSentBytes
	interfaceReceivedPackets
	interfaceSentPackets
	interfaceReceiveErrors
	interfaceSendErrors
	interfaceReceiveDrops
	interfaceSendDrops
)

var interfaceSchema = &model.Schema{
	Kind:        Kind + ".interface",
	Description: "A network interface; the label is its name.",
	Variables: []model.Variable{
		interfaceUp:              {Name: "up", Type: model.TypeBool, Description: "Whether it is switched on."},
		interfaceMTU:             {Name: "mtu", Type: model.TypeInt64, Unit: "B", Description: "The largest packet."},
		interfaceHardware:        {Name: "hardware_address", Type: model.TypeString, Description: "The MAC address; empty where there is none."},
		interfaceReceivedBytes:   {Name: "received_bytes", Type: model.TypeInt64, Unit: "B", Description: "Received since the interface was made."},
		interfaceSentBytes:       {Name: "sent_bytes", Type: model.TypeInt64, Unit: "B", Description: "Sent since the interface was made."},
		interfaceReceivedPackets: {Name: "received_packets", Type: model.TypeInt64, Description: "Packets received."},
		interfaceSentPackets:     {Name: "sent_packets", Type: model.TypeInt64, Description: "Packets sent."},
		interfaceReceiveErrors:   {Name: "receive_errors", Type: model.TypeInt64, Description: "Packets that arrived damaged."},
		interfaceSendErrors:      {Name: "send_errors", Type: model.TypeInt64, Description: "Packets that could not be sent."},
		interfaceReceiveDrops:    {Name: "receive_drops", Type: model.TypeInt64, Description: "Packets dropped on receiving."},
		interfaceSendDrops:       {Name: "send_drops", Type: model.TypeInt64, Description: "Packets dropped on sending."},
	},
}
