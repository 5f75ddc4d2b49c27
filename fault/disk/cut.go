package disk

import "math/rand/v2"

// mood is how a cut treats what was not kept. Each cut has another one: all of it gone and all of it there are as likely as parts.
type mood struct {
	*rand.Rand
	share   float64 // of what was not kept that stays
	sector  int     // bytes that stay or go together
	rubbish bool    // what was never written and lies below the end of a file
	orderly bool    // of names, the oldest changes stay
}

func (d *Disk) mood() mood {
	shares := []float64{0, 0, 0.1, 0.5, 0.9, 1, d.random.Float64()}
	sectors := []int{512, 4096}
	return mood{
		d.random, shares[d.random.IntN(len(shares))], sectors[d.random.IntN(len(sectors))], d.random.IntN(4) == 0, d.random.IntN(2) == 0,
	}
}

func (m mood) stays() bool { return m.Float64() < m.share }

// Cut is the power going and coming back. Call it when the programs on the disk are no more and it is not mounted: what they have written and not
// kept is there in parts.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.mood()
	d.cutNames(m)
	there := map[uint64]*node{}
	d.taken = 0
	d.root().survive(m, there, &d.taken)
	d.nodes = there
	d.renew()
}

// Restart is the programs going, and nothing else: what they have written is there. Call it when they are no more and the disk is not mounted.
func (d *Disk) Restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.renew()
}

func (d *Disk) renew() {
	d.dark, d.plan, d.steps = make(chan struct{}), Plan{}, 0
}

// cutNames keeps some of the changes of names.
func (d *Disk) cutNames(m mood) {
	for _, names := range d.naming {
		stays := m.stays()
		if m.orderly && !stays {
			break
		}
		if stays {
			names.keep()
		}
	}
	d.naming = nil
}

func (n naming) keep() {
	for _, e := range n {
		set(e.in.keptNames, e.name, e.to)
	}
}

func (n naming) touches(dir *node) bool {
	for _, e := range n {
		if e.in == dir {
			return true
		}
	}
	return false
}

// survive makes what is left of a node what there is, and so with all below it.
func (n *node) survive(m mood, there map[uint64]*node, taken *int64) {
	if there[n.number] != nil {
		n.links++ // another name
		return
	}
	there[n.number] = n
	n.links = 1
	if !n.isDir() {
		n.kept = m.leave(n.kept, n.changes)
		n.data, n.changes = append([]byte{}, n.kept...), nil
		*taken += blocks(len(n.data))
		return
	}
	n.links++
	n.names = map[string]*node{}
	for name, to := range n.keptNames {
		n.names[name] = to
	}
	for _, name := range sorted(n.names) { // so that the seed decides alone
		n.names[name].survive(m, there, taken)
	}
}

// leave is what is left of a file.
func (m mood) leave(kept []byte, changes []change) []byte {
	for _, c := range changes {
		if c.data == nil {
			if m.stays() {
				kept = m.stretch(kept, int(c.at))
			}
			continue
		}
		for at := 0; at < len(c.data); {
			end := min(len(c.data), at+m.sector-int(c.at+int64(at))%m.sector)
			kept = m.sectorOf(kept, c.at, c.data, at, end)
			at = end
		}
	}
	return kept
}

// sectorOf lets a sector of a write stay, or go, or stay in part.
func (m mood) sectorOf(kept []byte, base int64, data []byte, from, to int) []byte {
	switch {
	case !m.stays():
		if longer := int(base) + to; longer > len(kept) && m.share > 0 && m.IntN(4) == 0 {
			kept = m.stretch(kept, longer) // the length without what is there
		}
		return kept
	case m.IntN(16) == 0:
		to = from + m.IntN(to-from) // torn
	}
	if end := int(base) + to; end > len(kept) {
		kept = m.stretch(kept, end)
	}
	copy(kept[int(base)+from:], data[from:to])
	return kept
}

// stretch cuts off, or puts zeros or rubbish behind.
func (m mood) stretch(data []byte, size int) []byte {
	had := len(data)
	data = stretch(data, size)
	if m.rubbish {
		for i := had; i < size; i++ {
			data[i] = byte(m.Uint32())
		}
	}
	return data
}

// sync keeps all of a file.
func (n *node) sync() {
	for _, c := range n.changes {
		if c.data == nil {
			n.kept = stretch(n.kept, int(c.at))
			continue
		}
		if end := int(c.at) + len(c.data); end > len(n.kept) {
			n.kept = stretch(n.kept, end)
		}
		copy(n.kept[c.at:], c.data)
	}
	n.changes = nil
}

// syncNames keeps the names in a directory.
func (d *Disk) syncNames(dir *node) {
	left := d.naming[:0:0]
	for _, names := range d.naming {
		if names.touches(dir) {
			names.keep()
		} else {
			left = append(left, names)
		}
	}
	d.naming = left
}

// forget is a failed fsync of a file: some of it is kept, and the rest will never be.
func (d *Disk) forget(n *node) {
	n.kept = d.mood().leave(n.kept, n.changes)
	n.changes = nil
}
