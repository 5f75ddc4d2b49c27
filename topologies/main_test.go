package topologies

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"banyan/server"
)

// TestMain is also the programs that the tests start: this test binary with other arguments.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] != "" && os.Args[1][0] != '-' {
		if err := play(os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// play is what a test started: a part, and what it is given.
func play(part, with string) error {
	switch part {
	case "serve":
		return serve(with)
	case "fail":
		return fmt.Errorf("the disk is made of cheese")
	case "rob":
		return rob(with)
	case "stubborn": // one that serves, and that SIGTERM does not end
		signal.Ignore(syscall.SIGTERM)
		return serve(with)
	case "demo":
		return Demo(context.Background(), DemoConfig{Config: Config{Command: command("serve")}, File: strings.TrimPrefix(with, "-")})
	case "parent":
		return parent(with)
	}
	return fmt.Errorf("nobody plays %s", part)
}

// serve is a node.
func serve(config string) error {
	file, err := server.LoadFile(config)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if !signal.Ignored(syscall.SIGTERM) {
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGTERM)
		defer stop()
	}
	node, err := server.New(ctx, server.Config{File: file, Logger: server.NewLogger(file.Log, file.Name)})
	if err != nil {
		return err
	}
	return node.Run(ctx)
}

// rob listens where the node is to listen, just before it starts.
func rob(config string) error {
	file, err := server.LoadFile(config)
	if err != nil {
		return err
	}
	robbed := file.Data + "/robbed"
	if _, err := os.Stat(robbed); err == nil {
		return serve(config)
	}
	if err := os.WriteFile(robbed, nil, 0o600); err != nil {
		return err
	}
	l, err := net.Listen("tcp", file.Listeners.API)
	if err != nil {
		return err
	}
	defer l.Close()
	return serve(config)
}

// parent is a program that starts a network and stays, without catching any signal, until it is killed.
func parent(dir string) error {
	n, err := Up(context.Background(), Config{Dir: dir, Command: command("serve")}, dir+".yaml")
	if err != nil {
		return err
	}
	fmt.Println("up", n.Dir())
	time.Sleep(time.Hour)
	return nil
}

// command makes this test binary play a part as a node.
func command(part string) func(string) []string {
	return func(config string) []string { return []string{os.Args[0], part, config} }
}

// parentCommand starts a program that starts a network.
func parentCommand(dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "parent", dir)
	cmd.Stderr = os.Stderr
	return cmd
}
