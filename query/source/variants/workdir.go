package variants

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// workPrefix begins the names of working directories. Nothing else in a data
// directory begins so.
const workPrefix = ".import-"

// workdir holds everything temporary of one import, beside the releases, so that
// a rename stays within one file system. Its owner holds a lock (flock) on it:
// the kernel drops the lock when the process dies, however that happens, and the
// next import then removes what it finds unlocked.
type workdir struct {
	path string
	lock *os.File
}

// newWorkdir removes what dead imports left in dir and makes a fresh directory.
// Meanwhile it holds a lock on dir, because a directory that was just made is not
// locked yet.
func newWorkdir(dir string) (_ *workdir, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("data directory: %w", err)
		}
	}()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	parent, err := lockDir(dir, syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer func() { _ = parent.Close() }()
	if err := removeLeftovers(dir); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(dir, workPrefix)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(path, syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return &workdir{path: path, lock: lock}, nil
}

// lockDir opens and locks a directory. Closing the file unlocks it.
func lockDir(dir string, how int) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), file.Close())
	}
	return file, nil
}

func removeLeftovers(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), workPrefix) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		lock, err := lockDir(path, syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, os.ErrNotExist) {
			continue // its import is running, or has just ended
		}
		if err != nil {
			return err
		}
		if err := errors.Join(os.RemoveAll(path), lock.Close()); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes everything. It is called when an import ends in any way.
func (w *workdir) remove() error {
	return errors.Join(os.RemoveAll(w.path), w.lock.Close())
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
