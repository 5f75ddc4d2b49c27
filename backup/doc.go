// Package backup makes a sealed copy of a node while it runs, checks it, and brings a node back from it on a bare directory.
//
// It owns the form of a backup, the recovery key that opens one, what is checked when one is made and before one is restored, and the shelf on
// which a node keeps backups of others, which it cannot open. It does not decide when a backup is made or who may ask for one (package server),
// how one travels over a link (package peering), nor what a copy of the database is (package store).
//
// # What its users may rely on
//
// A backup that Make returned is whole: everything that was confirmed before it began is in it, of each commit all or nothing; its copy of the
// database was read from end to end, and the sealed file was opened and compared with its manifest before it got its name. Whatever goes
// wrong before, there is no file of that name.
//
// Nothing secret can be read in a backup without the recovery key, which the node does not have. The header in front says whose backup it is
// and of when; that it says the truth is known to who opens it.
//
// Restore writes into a directory of its own beside the target, which gets its name when all was checked. A node that was restored
// begins an epoch that no other life has, also where one backup is restored twice.
package backup
