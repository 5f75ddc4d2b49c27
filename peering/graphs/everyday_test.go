//go:build !race

package graphs

// everyday is how many walks are taken where nobody says.
const everyday = 2_000
