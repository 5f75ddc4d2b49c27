// Package follow is how anyone keeps up with a part of the tree: a link's consumer, a browser and a rule follow by the same means.
//
// It owns views (what is selected, and the handles by which samples are told) and followers (how far one reader of a view has come,
// and what it is to be told next). It does not own rights, which make the selection, nor frames, connections or pacing.
package follow
