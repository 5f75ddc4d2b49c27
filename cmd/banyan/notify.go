package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// manager is the service manager that started this program, as sd_notify(3) has it: a datagram socket that the environment names. Without one nothing is
// told to anybody.
type manager struct {
	socket   string
	watchdog time.Duration // how long it waits for a sign of life; 0 for ever
}

// managerOf reads the environment, and takes it out: what this program starts is not the service.
func managerOf() manager {
	m := manager{socket: os.Getenv("NOTIFY_SOCKET")}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	pid := os.Getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		m.watchdog = time.Duration(usec) * time.Microsecond
	}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		_ = os.Unsetenv(name) // cannot fail: the names are good
	}
	return m
}

// tell sends a state, like READY=1. A manager that does not listen is none: the node runs all the same.
func (m manager) tell(state ...string) error {
	if m.socket == "" {
		return nil
	}
	address := m.socket
	if rest, abstract := strings.CutPrefix(address, "@"); abstract {
		address = "\x00" + rest
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(strings.Join(state, "\n")))
	return err
}

// live gives signs of life, twice as often as they are waited for, as long as the node gives them.
func (m manager) live(ctx context.Context, alive func(context.Context) bool) {
	if m.socket == "" || m.watchdog == 0 {
		return
	}
	ticker := time.NewTicker(m.watchdog / 2)
	defer ticker.Stop()
	for {
		look, cancel := context.WithTimeout(ctx, m.watchdog/4)
		if alive(look) {
			_ = m.tell("WATCHDOG=1") // the next one may arrive
		}
		cancel()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
