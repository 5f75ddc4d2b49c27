// Package structure holds the tests that look at the source of the whole
// module: that packages import each other only downwards, that each of them
// says what it is for, that generated code and its sources go together, and
// that docs/promises.md names tests that exist.
//
// It owns the list of layers. It does not own any code of the product, and no
// package imports it.
package structure
