package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// ErrSocketInUse is returned when another daemon answers on the admin socket.
var ErrSocketInUse = errors.New("another daemon answers on this socket; stop it first, or give this site a socket of its own")

// adminMode lets the owner and its group be the operator, and nobody else.
const adminMode = 0o660

// ListenAdmin opens the admin socket. The socket is made under a private
// directory-entry name and only then moved to its place, so that nobody can connect
// before its mode is set.
func ListenAdmin(ctx context.Context, path string) (net.Listener, error) {
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return nil, fmt.Errorf("%s: %w", path, ErrSocketInUse)
	}
	if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
		return nil, err
	}
	// A file that is no socket refuses connections too, and is not ours to replace.
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s: there is something that is no socket; name another place, or move it away", path)
	}
	temporary := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%d.s", os.Getpid()))
	os.Remove(temporary)
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", temporary)
	if err != nil {
		return nil, err
	}
	// The file moves; closing must not try to remove the old name.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(temporary, adminMode), os.Rename(temporary, path)); err != nil {
		listener.Close()
		os.Remove(temporary)
		return nil, err
	}
	return removing{listener, path}, nil
}

// removing removes the socket's file when it is closed.
type removing struct {
	net.Listener
	path string
}

func (r removing) Close() error {
	err := r.Listener.Close()
	if err == nil {
		os.Remove(r.path)
	}
	return err
}
