// Package store keeps what must survive: the audit log, grants, the releases of
// datasets and the evidence about issuers, in one bbolt file. It owns bbolt.
//
// The invariants:
//   - What a call acknowledged is on the disk, and survives kill -9 and power loss.
//   - A fact and its audit record commit in one transaction: both or neither.
//   - One goroutine writes. It takes all operations that wait, makes them one
//     transaction with one sync, and then answers them; so sixty-four callers cost
//     about as much as two.
//   - What reads see without a transaction (the head of the log, grants, revocations,
//     links, sessions) changes only after the commit of what changed it.
//   - No read transaction is held while somebody else's code runs: bbolt cannot
//     grow its file while one is open.
//
// The file holds identities and what they asked; its mode is 0600. It never holds
// tokens: digests stand for them, and what a session was made from is sealed with a
// key that is not in the file.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

// The errors that callers tell apart.
var (
	// ErrLocked: another process has the file open.
	ErrLocked = errors.New("the state file is in use: the daemon runs; ask it through its admin socket, or stop it first")
	// ErrNewerSchema: a newer candignode wrote the file. It is never rewritten.
	ErrNewerSchema = errors.New("the state file was written by a newer candignode; install that version or restore a backup")
	// ErrForeign: the file is no state file, or is damaged.
	ErrForeign = errors.New("not a readable candignode state file; restore a backup")
	// ErrUnavailable: the operation was not recorded, because the disk refused.
	ErrUnavailable = errors.New("nothing was recorded: the state file cannot be written")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrReadOnly: the store was opened for reading.
	ErrReadOnly = errors.New("the store was opened for reading only")
	// ErrNotFound: there is no such grant, release, revocation or session.
	ErrNotFound = errors.New("there is no such entry")
	// ErrExists: there is one with that id already.
	ErrExists = errors.New("there is one with that id already")
	// ErrFull: as many of the kind are kept as may be.
	ErrFull = errors.New("the state file holds as many of them as it may")
	// ErrRefused: the caller handed in what must not be stored. A bug, not a fault.
	ErrRefused = errors.New("not storable")
)

// Options for Open.
type Options struct {
	// ReadOnly opens for reading, without checking the end of the audit log, so
	// that a broken log can be looked at. Others may read at the same time.
	ReadOnly bool
	// MustExist refuses to make a new file: a daemon that was pointed at the wrong
	// directory must not start with an empty memory.
	MustExist bool
	// SessionsPerPerson bounds the sessions of one identity. 0: 20.
	SessionsPerPerson int
	Now               func() time.Time // nil: time.Now; tells what has ended
	Log               *slog.Logger     // nil: no log

	// update stands in for (*bbolt.DB).Update where tests need a disk that fails.
	update func(*bbolt.DB, func(*bbolt.Tx) error) error
}

// Store is the open file. All methods may be called concurrently. Methods that
// write return when the change is durable; if their context ends first they
// return its error, and the change is then made either wholly or not at all.
type Store struct {
	db     *bbolt.DB
	update func(*bbolt.DB, func(*bbolt.Tx) error) error
	log    *slog.Logger
	ro     bool
	now    func() time.Time

	ops     chan *operation
	closing chan struct{} // closed by Close
	stopped chan struct{} // closed when the writer has answered its last operation
	closed  sync.Once
	err     error // of closing the file; read after stopped

	head        atomic.Pointer[audit.Head]
	grants      sync.Map // trust.Identity -> []access.Grant, never changed in place
	revocations atomic.Pointer[trust.Revocations]
	links       linkIndex
	sessions    sessionIndex

	// The writer's own; Open has them before it starts.
	revoked map[string]trust.Revocation // by id: what the newest picture was made of
	polls   int
	swept   time.Time
	broken  error // why no more is written until a restart

	failing atomic.Bool // the newest write failed
}

// Open opens or makes the state file at path. It wraps ErrLocked, ErrNewerSchema,
// ErrForeign, fs.ErrNotExist, or audit.ErrBroken if the end of the audit log is not
// the one that was noted with its last transaction.
func Open(path string, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.update == nil {
		o.update = (*bbolt.DB).Update
	}
	db, err := openFile(path, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &Store{
		db: db, update: o.update, log: o.Log, ro: o.ReadOnly, now: o.Now,
		revoked:  map[string]trust.Revocation{},
		links:    linkIndex{of: map[trust.Identity][]trust.Link{}},
		sessions: newSessionIndex(o.SessionsPerPerson),
		ops:      make(chan *operation, maxWaiting),
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	if err := s.start(o); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	if s.ro {
		close(s.stopped)
	} else {
		go s.write()
	}
	return s, nil
}

func openFile(path string, o Options) (*bbolt.DB, error) {
	info, err := os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !fresh:
		return nil, err
	case fresh && (o.MustExist || o.ReadOnly):
		return nil, fmt.Errorf("%w; 'candignode init' makes it", fs.ErrNotExist)
	case !fresh && !info.Mode().IsRegular():
		return nil, ErrForeign
	case !fresh && info.Mode().Perm()&0o077 != 0:
		o.Log.Warn("others on this machine can read the state file; chmod 600 it", "file", path, "mode", info.Mode().Perm())
	}
	db, err := openBolt(path, o.ReadOnly)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, ErrLocked
	case errors.Is(err, fs.ErrPermission):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if fresh { // the name, too, must survive a power cut
		if err := syncDir(filepath.Dir(path)); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

// damaged turns bbolt's assertions about damaged pages into an error. bbolt rolls
// the transaction back on the way.
func damaged(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: damaged: %v", ErrForeign, p)
	}
}

func openBolt(path string, readOnly bool) (db *bbolt.DB, err error) {
	defer damaged(&err)
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:  lockTimeout,
		ReadOnly: readOnly,
		// The list of free pages is short, as most of the file is a log that only
		// grows. Keeping it in the file costs one page a commit, and saves reading the
		// whole file at every start.
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: initialMap,
		PageSize:        pageSize,
	})
	if db != nil {
		db.AllocSize = growBy
	}
	return db, err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// start checks what the file is and reads what is kept in memory.
func (s *Store) start(o Options) (err error) {
	defer damaged(&err)
	if err := s.migrate(o.Now); err != nil {
		return err
	}
	if err := s.reload(); err != nil {
		return err
	}
	if s.ro {
		return nil
	}
	return s.view(checkTail)
}

// reload reads from the file what is kept in memory.
func (s *Store) reload() error {
	return s.view(func(tx *bbolt.Tx) error {
		head, err := lastEntry(tx)
		if err != nil && !s.ro {
			return err
		}
		for _, load := range []func(*bbolt.Tx) error{
			s.loadGrants, s.loadRevocations, s.loadLinks, s.loadPolls, s.loadSessions,
		} {
			if err := load(tx); err != nil {
				return err
			}
		}
		s.head.Store(&head)
		return nil
	})
}

// view runs a short read; f calls no code from outside.
func (s *Store) view(f func(*bbolt.Tx) error) (err error) {
	defer damaged(&err)
	err = s.db.View(f)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// Writable tells whether a record could be made durable now. While writes succeed
// it costs nothing; after one failed it tries another, which changes nothing.
func (s *Store) Writable(ctx context.Context) error {
	if !s.failing.Load() {
		return nil
	}
	return s.do(ctx, func(*change) error { return nil })
}

// Close writes what was handed in before, and closes the file. It may be called
// more than once.
func (s *Store) Close() error {
	s.closed.Do(func() {
		close(s.closing)
		<-s.stopped
		s.err = s.db.Close()
	})
	return s.err
}
