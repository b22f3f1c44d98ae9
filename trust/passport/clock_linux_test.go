package passport

import (
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// ownTime is what this thread has computed so far: what other programs take of the
// machine does not count. stay keeps the caller on its thread.
func ownTime() time.Duration {
	const threadCPU = 3 // CLOCK_THREAD_CPUTIME_ID
	var t syscall.Timespec
	if _, _, failed := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, threadCPU, uintptr(unsafe.Pointer(&t)), 0); failed != 0 {
		return 0
	}
	return time.Duration(t.Nano())
}

func stay() (leave func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
