// Package settings is the settings of a node as a file: what a file says, what would have to be done so that a node says the same, and the file
// that says what a node says.
//
// It owns the format: contexts with kind, label and settings in the forms that people write, templates with lists and CSV files, secrets by
// reference, and that each problem is told with file, line, column and what to do about it. It is pure: text, the kinds of a node and what is
// there come in, edits go out. It does not speak to nodes, decides nothing about rights, and never sees a secret that nobody gave it.
//
// # What callers may rely on
//
// Of two nodes that have the same kinds, one is equal to the other, as far as files say, once what Write made of the first was planned
// against the second and done. A plan against a node that already is as the file says has no edits. No text of this package, errors and
// differences included, holds the value of a secret.
package settings
