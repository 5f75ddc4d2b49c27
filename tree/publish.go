package tree

import (
	"banyan/model"
)

// Batch is samples to publish, by column. Scalars stand in the columns; a value that does not fit in 64 bits stands in Boxed at
// the same index. Owner, Quality and Boxed may be nil: published now, all good, all scalars. A Batch may be used again after Publish.
type Batch struct {
	Slots   []Slot
	Bits    []uint64
	Source  []model.Time
	Owner   []model.Time
	Quality []uint16 // model.Quality.Code; NoValue may be added
	Boxed   []model.Value
	Of      *Share // who publishes; nil for one that is not bounded
}

// NoValue added to a quality code in a Batch or a Run says that the sample has no value.
const NoValue = flagNone

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Boxed)
	*b = Batch{b.Slots[:0], b.Bits[:0], b.Source[:0], b.Owner[:0], b.Quality[:0], b.Boxed[:0], b.Of}
}

// Add appends one sample. Once one sample of a batch was added with Add, all must be.
func (b *Batch) Add(slot Slot, sample model.Sample) {
	code := sample.Quality.Code()
	if sample.Value.IsNone() {
		code |= flagNone
	}
	b.Slots = append(b.Slots, slot)
	b.Bits = append(b.Bits, sample.Value.Bits())
	b.Source = append(b.Source, sample.Source)
	b.Owner = append(b.Owner, sample.Owner)
	b.Quality = append(b.Quality, code)
	if b.Boxed != nil || !sample.Value.Type().IsScalar() {
		for len(b.Boxed) < len(b.Slots)-1 {
			b.Boxed = append(b.Boxed, model.Value{})
		}
		b.Boxed = append(b.Boxed, sample.Value)
	}
}

// Publish makes the batch's samples the latest ones of their slots and gives them positions in the ring, in the batch's
// order. It does no look-up of any path. Slots that are not allocated are passed over. It returns the ring's head after it.
func (t *Tree) Publish(b *Batch) uint64 {
	now := t.now()
	t.samples.Lock()
	limit := t.slots.next
	done := 0
	for done < len(b.Slots) {
		c := t.ring.current(now, t.wanted, b.Of)
		before := c.filled.Load()
		done += t.fill(c, b, done, limit, now)
		c.count(b.Of, int(c.filled.Load()-before))
		t.ring.head.Store(c.first + uint64(c.filled.Load()))
	}
	narrow := t.narrowToWake
	t.narrowToWake = t.narrowToWake[:0]
	for _, w := range narrow {
		w.wake()
	}
	head := t.ring.head.Load()
	t.samples.Unlock()
	t.wakeReaders()
	return head
}

// fill writes samples of b from index done on into slots and chunk until either is at its end, and returns how many it took.
func (t *Tree) fill(c *chunk, b *Batch, done int, limit Slot, now model.Time) int {
	at := int(c.filled.Load())
	i := done
	for i < len(b.Slots) && at < chunkSamples {
		if n := t.straight(b.Slots[i:], min(limit, b.Slots[i]+Slot(chunkSamples-at))); n >= leastStraight {
			t.fillStraight(c, b, i, at, n, now)
			i, at = i+n, at+n
			continue
		}
		slot := b.Slots[i]
		i++
		if slot >= limit {
			continue
		}
		from, owner, code := i-1, now, uint16(0)
		if len(b.Owner) > from && b.Owner[from] != 0 {
			owner = b.Owner[from]
		}
		if len(b.Quality) > from {
			code = b.Quality[from]
		}
		position := c.first + uint64(at)
		p, s := t.slots.pages[slot>>pageBits], slot&pageMask
		p.bits[s], p.source[s], p.owner[s], p.received[s] = b.Bits[from], b.Source[from], owner, now
		p.version[s], p.quality[s] = position+1, code
		p.newest = position + 1
		c.slots[at], c.bits[at], c.source[at], c.owner[at], c.quality[at] = slot, b.Bits[from], b.Source[from], owner, code
		if !p.kind[s].IsScalar() {
			value := model.Value{}
			if len(b.Boxed) > from {
				value = b.Boxed[from]
			}
			t.box(p, c, uint32(s), at, value)
		}
		if p.watched[s/64]&(1<<(s%64)) != 0 {
			t.tellWatchers(slot, position)
		}
		if at++; c.full {
			at = chunkSamples
		}
	}
	c.filled.Store(int32(at))
	return i - done
}

// leastStraight is from how many samples on it pays to copy them by column.
const leastStraight = 8

// straight is how many of slots at the beginning follow one another below end, within a page, hold scalars, and are watched by nobody: nearly all of what
// a busy device or a link publishes.
func (t *Tree) straight(slots []Slot, end Slot) int {
	first := slots[0]
	if first >= end || len(slots) < leastStraight || slots[leastStraight-1] != first+leastStraight-1 {
		return 0
	}
	p, s := t.slots.page(first)
	n := min(len(slots), int(end-first), pageSlots-int(s))
	for i := range n {
		if slots[i] != first+Slot(i) || !p.kind[s+uint32(i)].IsScalar() || p.watched[(s+uint32(i))/64]&(1<<((s+uint32(i))%64)) != 0 {
			return i
		}
	}
	return n
}

// fillStraight writes n samples of b from index i on into their slots, which follow one another, and into the chunk at at.
func (t *Tree) fillStraight(c *chunk, b *Batch, i, at, n int, now model.Time) {
	p, s := t.slots.page(b.Slots[i])
	copy(c.slots[at:at+n], b.Slots[i:])
	copy(c.bits[at:at+n], b.Bits[i:])
	copy(p.bits[s:int(s)+n], b.Bits[i:])
	copy(c.source[at:at+n], b.Source[i:])
	copy(p.source[s:int(s)+n], b.Source[i:])
	owner := c.owner[at : at+n]
	known := copy(owner, b.Owner[min(i, len(b.Owner)):])
	for j, told := range owner {
		if j >= known || told == 0 {
			owner[j] = now
		}
	}
	copy(p.owner[s:], owner)
	quality := c.quality[at : at+n]
	copy(quality, b.Quality[min(i, len(b.Quality)):]) // the rest of a chunk is 0, which is good
	copy(p.quality[s:], quality)
	received, version := p.received[s:int(s)+n], p.version[s:int(s)+n]
	position := c.first + uint64(at)
	for j := range received {
		received[j], version[j] = now, position+uint64(j)+1
	}
	p.newest = position + uint64(n)
}

// box stores a value that does not fit in 64 bits beside its slot and its place in the ring. One of another type than the slot's is no value.
func (t *Tree) box(p *page, c *chunk, s uint32, at int, value model.Value) {
	if value.Type() != p.kind[s] {
		value = model.Value{}
		p.quality[s] |= flagNone
		c.quality[at] |= flagNone
	}
	if p.boxed == nil {
		p.boxed = new([pageSlots]model.Value)
	}
	p.boxed[s] = value
	boxed := c.boxed.Load()
	if boxed == nil {
		boxed = new([chunkSamples]model.Value)
		c.boxed.Store(boxed)
	}
	boxed[at] = value
	t.ring.hold(c, at, footprint(value))
}

// Restore puts a sample from before a restart into its slot. It is not published: it is no news to anyone, and it reads as stale
// since kept until its owner publishes again. A slot that was published since the start keeps what it has.
func (t *Tree) Restore(slot Slot, sample model.Sample, kept model.Time) {
	t.samples.Lock()
	defer t.samples.Unlock()
	if slot >= t.slots.next {
		return
	}
	p, s := t.slots.page(slot)
	if p.version[s] != 0 || sample.Value.IsNone() || sample.Value.Type() != p.kind[s] {
		return
	}
	p.bits[s], p.quality[s] = sample.Value.Bits(), sample.Quality.Code()
	p.source[s], p.owner[s], p.received[s] = sample.Source, sample.Owner, kept
	if !p.kind[s].IsScalar() {
		if p.boxed == nil {
			p.boxed = new([pageSlots]model.Value)
		}
		p.boxed[s] = sample.Value
	}
}
