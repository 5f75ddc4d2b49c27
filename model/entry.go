package model

import "strconv"

// EntrySort is what an entry of a schema is. The zero one is an entry of which that is not known, like those that a newer version has.
type EntrySort uint8

// The sorts of entries.
const (
	EntryUnknown  EntrySort = 0
	EntrySetting  EntrySort = 1
	EntryVariable EntrySort = 2
	EntryFunction EntrySort = 3
	EntryEvent    EntrySort = 4
)

var entrySortNames = [...]string{"unknown", "settings", "variables", "functions", "events"}

// String is the name of all entries of the sort.
func (s EntrySort) String() string {
	if int(s) < len(entrySortNames) {
		return entrySortNames[s]
	}
	return "sort-" + strconv.Itoa(int(s))
}
