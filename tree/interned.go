package tree

// interned gives each of the values that are in use a small number. One that nobody uses any more is forgotten: what other nodes tell of themselves would pile
// up with each of their restarts.
type interned[K comparable] struct {
	values []K
	uses   []int32
	of     map[K]uint32
	free   []uint32
}

func newInterned[K comparable]() interned[K] { return interned[K]{of: make(map[K]uint32)} }

// take is the number of a value, which is used once more.
func (n *interned[K]) take(value K) uint32 {
	i, known := n.of[value]
	if !known {
		if last := len(n.free) - 1; last >= 0 {
			i, n.free = n.free[last], n.free[:last]
			n.values[i] = value
		} else {
			i = uint32(len(n.values))
			n.values, n.uses = append(n.values, value), append(n.uses, 0)
		}
		n.of[value] = i
	}
	n.uses[i]++
	return i
}

// release says that a value is used once less.
func (n *interned[K]) release(i uint32) {
	if n.uses[i]--; n.uses[i] == 0 {
		delete(n.of, n.values[i])
		var none K
		n.values[i] = none
		n.free = append(n.free, i)
	}
}
