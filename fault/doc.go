// Package fault names the bugs that can be put into a build on purpose, so that it can be proved that a test turns red for each.
//
// Without the build tag "faults" Planted is a constant false, which the compiler removes together with the branch behind it: an
// ordinary build holds no fault. With the tag, the environment variable BANYAN_FAULT names the one fault that is active; a name that
// is not declared here stops the program, since a misspelt fault would pass every test and prove nothing.
//
// With the tag, BANYAN_FAULT_CLOCK can name a file that says how far the program's clock is off (Now), and BANYAN_FAULT_HEAR a folder
// into which everything is written that crosses links, in the clear (Overheard). Neither exists in an ordinary build.
//
// It owns the names and the switch. What a fault does stands where it is planted, as one branch beside the right way.
package fault
