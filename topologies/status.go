package topologies

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"banyan/model"
	"banyan/server"
)

// Status is how a network is.
type Status struct {
	Network string `json:"network"`
	Dir     string `json:"dir"`
	Rows    []Row  `json:"rows"`
}

// Row is how one end of a link is, or a node that has none.
type Row struct {
	Node string `json:"node"`
	// PID is 0 when the node does not run.
	PID      int    `json:"pid,omitempty"`
	API      string `json:"api"`   // URL
	Links    string `json:"links"` // HOST:PORT
	Password string `json:"password"`
	// Link is "-> PEER" where the node shows itself to the peer and "<- PEER" where it sees the peer.
	Link string `json:"link,omitempty"`
	Peer string `json:"peer,omitempty"`
	// State is the link's; of a node without links "running"; of any that does not answer "stopped" or "not answering"; of a link that
	// was removed "not linked".
	State  string        `json:"state"`
	Lag    time.Duration `json:"lag,omitempty"` // nanoseconds
	Detail string        `json:"detail,omitempty"`
	// Since is when the state began, where it is known.
	Since time.Time `json:"since,omitzero"`
}

// States of nodes.
const (
	StateRunning = "running"
	StateStopped = "stopped"
	StateSilent  = "not answering"

	// StateUnlinked is of a link that the file has and the node has not.
	StateUnlinked = "not linked"
)

// statusWithin bounds how long a node may take to say how it is.
const statusWithin = 3 * time.Second

// Status asks all nodes how they are.
func (n *Network) Status(ctx context.Context) (Status, error) {
	s, err := readState(n.cfg.Dir)
	if err != nil {
		return Status{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, statusWithin)
	defer cancel()
	rows := make([][]Row, len(n.topology.Nodes))
	var work sync.WaitGroup
	for i := range n.topology.Nodes {
		name := n.topology.Nodes[i].Name
		at := s.Nodes[name]
		if at == nil {
			at = &nodeState{}
		}
		work.Go(func() { rows[i] = n.rows(ctx, name, at) })
	}
	work.Wait()
	status := Status{Network: n.topology.Name, Dir: n.cfg.Dir}
	for _, of := range rows {
		status.Rows = append(status.Rows, of...)
	}
	return status, nil
}

// rows are a node's: one for each of its links.
func (n *Network) rows(ctx context.Context, name string, at *nodeState) []Row {
	base := Row{Node: name, API: "https://" + at.API, Links: at.Links, Password: n.secret(name, server.AdminName), State: StateStopped}
	var client *Client
	if at.alive() {
		base.PID, base.Since, base.State = at.PID, at.Since, StateRunning
		var err error
		if client, err = n.client(ctx, name, at, server.AdminName); err != nil {
			base.silent(err)
		} else {
			defer client.Close()
		}
	}
	var rows []Row
	for i := range n.topology.Links {
		l := &n.topology.Links[i]
		provider, consumer := n.topology.Ends(l)
		for _, end := range []struct {
			End
			arrow, peer string
		}{{provider, "-> ", l.Consumer}, {consumer, "<- ", l.Provider}} {
			if end.Node != name {
				continue
			}
			row := base
			row.Link, row.Peer = end.arrow+end.peer, end.peer
			if client != nil {
				row.ask(ctx, client, end.Link)
			}
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		rows = []Row{base}
	}
	return rows
}

// silent says that the node did not say how it is. That it took too long needs no words.
func (r *Row) silent(err error) {
	r.State, r.Since = StateSilent, time.Time{}
	if model.KindOf(err) != model.KindTimeout {
		r.Detail = err.Error()
	}
}

// ask fills in how a link is.
func (r *Row) ask(ctx context.Context, client *Client, link string) {
	info, err := client.describe(ctx, child(linksPath, link))
	switch {
	case model.KindOf(err) == model.KindNotFound: // somebody removed it
		r.State, r.Since = StateUnlinked, time.Time{}
		return
	case err != nil:
		r.silent(err)
		return
	}
	r.State, r.Detail, r.Lag = variableOf(info, "state").Text(), variableOf(info, "detail").Text(), variableOf(info, "lag").Duration()
	if since := variableOf(info, "since"); !since.IsNone() {
		r.Since = since.Time().Std()
	}
}

// String is a table for people.
func (s Status) String() string {
	rows := [][]string{{"NODE", "PID", "API", "LINK", "STATE", "SINCE", "PASSWORD"}}
	for i := range s.Rows {
		r := &s.Rows[i]
		pid, state, since := "-", r.State, "-"
		if r.PID > 0 {
			pid = fmt.Sprint(r.PID)
		}
		switch {
		case r.State == "up":
			state = fmt.Sprintf("up (lag %s)", short(r.Lag))
		case r.Detail != "":
			state = cut(state+": "+strings.Map(printable, r.Detail), widestState)
		}
		if !r.Since.IsZero() {
			since = short(time.Since(r.Since))
		}
		link := r.Link
		if link == "" {
			link = "-"
		}
		rows = append(rows, []string{r.Node, pid, r.API, link, state, since, r.Password})
	}
	return table(rows)
}

// widestState is how much of a state and its detail a table shows; JSON has all of it.
const widestState = 60

func cut(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-3]) + "..."
	}
	return text
}

// short is a duration as precise as people want it.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "0 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// printable keeps control characters of foreign text away from a terminal.
func printable(c rune) rune {
	if c < ' ' || c >= 0x7f && c < 0xa0 {
		return ' '
	}
	return c
}

// table aligns columns; the last one has no space behind it.
func table(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var text strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			text.WriteString(cell)
			if i < len(row)-1 {
				text.WriteString(strings.Repeat(" ", widths[i]-len([]rune(cell))+2))
			}
		}
		text.WriteByte('\n')
	}
	return text.String()
}
