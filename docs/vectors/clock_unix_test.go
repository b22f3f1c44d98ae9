//go:build unix

package vectors_test

import (
	"syscall"
	"time"
)

// computed is what this process has computed so far, the node and its client together:
// what other programs take of the machine does not count.
func computed() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
