// Package model holds the words that every other package speaks: paths and patterns, values and samples with their quality,
// identities, positions and epoch chains, schemas, rights, and the kinds of errors.
//
// It owns the one parser of paths and the one JSON form of a value. It owns no state, knows no transport and no store,
// and imports the standard library only.
package model
