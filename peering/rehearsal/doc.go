// Package rehearsal makes the line of a link worse on purpose, so that people see what an outage does before one comes: delay, jitter, a low rate, loss,
// silence in one direction, connections that break and none that come about, by a schedule.
//
// It owns what happens to the bytes of connections and to dialling, and in which order. It does not own who may ask for it, on which link, and for how
// long: whoever runs a Line ends it. Nothing of it is kept: a process that ends takes it along.
//
// A connection is a stream, and what is done to it is what a bad network does to a stream. Nothing is left out, nothing is changed, and nothing overtakes.
//
//   - delay and jitter hold bytes back, each way: a round trip takes twice the delay longer.
//   - rate lets so many bytes a second through, each way of each connection.
//   - loss is the chance that a packet of 1,400 bytes has to be sent again. In a stream that is a pause: 200 ms, twice as long each time that it is lost
//     again, in which all behind it waits; a packet that is lost eight times in a row breaks the connection.
//   - block is silence: what is written is taken, as far as a send buffer takes it, and arrives when the block is over, unless somebody has given up the
//     connection before. That it was closed does not arrive either. New connections do not come about: whoever dials hears nothing.
//   - cut breaks all connections at once, as a reset does, and refuses new ones.
//   - refuse refuses new ones; those that stand are left alone.
//
// A line that nothing is done to costs one look at a pointer for each read and write.
package rehearsal
