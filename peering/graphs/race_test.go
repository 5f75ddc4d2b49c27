//go:build race

package graphs

// everyday is how many walks are taken where nobody says: few, since the detector makes each ten times as long and there is one goroutine.
const everyday = 40
