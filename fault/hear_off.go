//go:build !faults

package fault

import "net"

// Overheard is the connection itself.
func Overheard(conn net.Conn, _ string) net.Conn { return conn }
