package topologies

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Noise is what a program that makes noise is told to do: throw a bomb with a node that joins by a token, or attack. Such programs are children of whoever
// measures what others feel of it.
type Noise struct {
	Name  string // of the bomb or the attack
	Role  string // of the node that throws the bomb; empty for an attack
	Token string // of an invitation; empty for one that has joined, and for attacks of who is not linked

	API, Links string // of the victim
	Data       string // its directory, for its certificate
	Session    string // of somebody who attacks as a person
}

// NoiseMade says how it went.
type NoiseMade struct {
	Times int    // that it was made
	Last  string // what the victim said to it
}

// least is the weight that whoever makes noise has where it runs: it stands for another machine, and must not take from the victim what its own work costs.
const least = 19

// MakeNoise makes the noise that a line says for as long as no other line comes, over and over, and answers each with how it went before. An empty line is
// silence. once is how a noise is made once.
func MakeNoise(in io.Reader, out io.Writer, once func(Noise) (func(context.Context) error, error)) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, id, least); err != nil {
			return err
		}
	}
	silence := func() NoiseMade { return NoiseMade{} }
	say, orders, stop := json.NewEncoder(out), bufio.NewScanner(in), silence
	defer func() { stop() }()
	for orders.Scan() {
		made := stop()
		stop = silence
		if orders.Text() != "" {
			var n Noise
			if err := json.Unmarshal(orders.Bytes(), &n); err != nil {
				return err
			}
			do, err := once(n)
			if err != nil {
				return err
			}
			stop = over(do)
		}
		if err := say.Encode(made); err != nil {
			return err
		}
	}
	return orders.Err()
}

// over does something over and over until it is stopped.
func over(do func(context.Context) error) (stop func() NoiseMade) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan NoiseMade, 1)
	go func() {
		var made NoiseMade
		for ctx.Err() == nil {
			made.Times++
			if err := do(ctx); err != nil && ctx.Err() == nil {
				made.Last = err.Error()
			}
			select {
			case <-time.After(time.Millisecond): // what fails at once is not to be a flood of its own
			case <-ctx.Done():
			}
		}
		done <- made
	}()
	return func() NoiseMade {
		cancel()
		return <-done
	}
}
