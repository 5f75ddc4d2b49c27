package store

/*
#include <stddef.h>

// Not every C library has it.
int malloc_trim(size_t) __attribute__((weak));

static void giveBack(void) {
	if (malloc_trim) malloc_trim(0);
}
*/
import "C"

// GiveBack gives the memory to the kernel that SQLite does not use any more. The C library keeps what lies between what is used, in a heap for each of several
// threads: after a thousand mirrors were opened and closed that is some hundred MiB. It takes milliseconds, and who allocates meanwhile may wait for it.
func GiveBack() { C.giveBack() }
