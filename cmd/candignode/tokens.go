package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

const (
	// maxTokenFile: hundreds of nodes with the largest tokens that are taken.
	maxTokenFile = 4 << 20
	// lockWait between two tries for the lock; another command holds it while it asks
	// the issuer for new tokens.
	lockWait = 50 * time.Millisecond
)

// errNoSignIn says that there is nothing for that node.
var errNoSignIn = errors.New("not signed in")

// signIn is what was kept of signing in at one node: the tokens of the issuer, or a
// session of the node.
type signIn struct {
	Issuer   string
	ClientID string
	Scopes   []string
	Access   trust.AccessToken
	Refresh  trust.AccessToken
	Expires  time.Time // of Access or Session; zero: nobody said
	Session  trust.AccessToken
	ID       string // of the session
	CAPEM    string // of the node and the issuer, where they have a private one
}

// wireSignIn is a signIn in the file. It is the one form in which tokens are
// written anywhere.
type wireSignIn struct {
	Issuer   string    `json:"issuer"`
	ClientID string    `json:"client_id"`
	Scopes   []string  `json:"scopes,omitempty"`
	Access   string    `json:"access_token,omitempty"`
	Refresh  string    `json:"refresh_token,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
	Session  string    `json:"session_token,omitempty"`
	ID       string    `json:"session_id,omitempty"`
	CAPEM    string    `json:"ca,omitempty"`
}

// tokenFile is where sign-ins are kept between two commands: a secret of the person,
// in a directory of the person's own.
type tokenFile struct{ path string }

func openTokenFile() (tokenFile, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return tokenFile{}, fmt.Errorf("no place for sign-ins: %w", err)
	}
	return tokenFile{filepath.Join(dir, "candignode", "tokens.json")}, nil
}

// nodeName is the key of a node in the file: its address without what makes no
// difference.
func nodeName(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", usage("--url: %.80q is not an address like https://node.uhn.example.org", address)
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + strings.TrimSuffix(u.Path, "/"), nil
}

// get gives the sign-in at a node. It wraps errNoSignIn.
func (f tokenFile) get(node string) (signIn, error) {
	all, err := f.read()
	if err != nil {
		return signIn{}, err
	}
	w, ok := all[node]
	if !ok {
		return signIn{}, errNoSignIn
	}
	return signIn{
		Issuer: w.Issuer, ClientID: w.ClientID, Scopes: w.Scopes, Expires: w.Expires, ID: w.ID, CAPEM: w.CAPEM,
		Access: trust.NewAccessToken(w.Access), Refresh: trust.NewAccessToken(w.Refresh), Session: trust.NewAccessToken(w.Session),
	}, nil
}

// put keeps a sign-in, or forgets the one at node if it is zero. The lock is held.
func (f tokenFile) put(node string, s *signIn) error {
	all, err := f.read()
	if err != nil {
		return err
	}
	delete(all, node)
	if s != nil {
		all[node] = wireSignIn{
			Issuer: s.Issuer, ClientID: s.ClientID, Scopes: s.Scopes, Expires: s.Expires.UTC(), ID: s.ID, CAPEM: s.CAPEM,
			Access: s.Access.Reveal(), Refresh: s.Refresh.Reveal(), Session: s.Session.Reveal(),
		}
	}
	return f.write(all)
}

func (f tokenFile) read() (map[string]wireSignIn, error) {
	all := map[string]wireSignIn{}
	file, err := os.OpenFile(f.path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return all, nil
	} else if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	// Judged on the open file, so that nobody puts another in its place meanwhile.
	if err := mine(f.path, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxTokenFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxTokenFile || jose.Unmarshal(text, &all) != nil || all == nil {
		return nil, fmt.Errorf("%s cannot be read as sign-ins: remove it, and sign in again", f.path)
	}
	return all, nil
}

// mine refuses what others may read or may have written.
func mine(path string, info os.FileInfo) error {
	want := os.FileMode(0o600)
	if info.IsDir() {
		want = 0o700
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file: remove it, and sign in again", path)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Getuid() {
		return fmt.Errorf("%s belongs to another user: sign-ins are kept in a place of your own (XDG_CONFIG_HOME names another)", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s may be read by others (%v): 'chmod %o %s', and sign in again if anybody else uses this machine", path, info.Mode().Perm(), want, path)
	}
	return nil
}

// write puts a whole new file in the place of the old one.
func (f tokenFile) write(all map[string]wireSignIn) (err error) {
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(f.path), "tokens-*.new") // made 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(next.Name())
		}
	}()
	_, err = next.Write(append(text, '\n'))
	if err = errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), f.path)
}

// lock keeps other commands from the file until the result is called. It is held
// while the issuer is asked for new tokens, because a refresh token is good once: of
// two commands that use it the second would end the sign-in.
func (f tokenFile) lock(ctx context.Context) (unlock func(), err error) {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if err := mine(dir, info); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "tokens.lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(lockWait)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil // which unlocks
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			file.Close()
			return nil, fmt.Errorf("%s: %w", file.Name(), err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("another candignode is at work on the sign-ins: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
