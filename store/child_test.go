package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/candignode/candignode/trust/audit"
)

// Some promises can only be tested on a process of its own: the test binary
// starts itself with CANDIGNODE_STORE_CHILD set to what it is to be.

const crash = 3 // exit status of a child whose test failed

func child(role string) int {
	path := os.Getenv("CANDIGNODE_STORE_PATH")
	switch role {
	case "append for ever":
		return appendForEver(path)
	case "fill the disk":
		return fillTheDisk(path)
	}
	return crash
}

func spawn(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CANDIGNODE_STORE_CHILD="+role, "CANDIGNODE_STORE_PATH="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// appendForEver records with many writers, and says each acknowledgement as soon
// as it has it.
func appendForEver(path string) int {
	s, err := Open(path, Options{MustExist: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return crash
	}
	head, err := s.AuditHead()
	if err != nil {
		return crash
	}
	var out sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprint(head.Seq, ".", w, ".", i)
				if w == 0 { // grants ride on the same transactions
					g := grant(int(head.Seq)*100_000 + i)
					g.ID = id
					err = s.AddGrant(context.Background(), g, note(id))
				} else if err := s.Record(context.Background(), note(id), note(id)); err != nil {
					return
				}
				out.Lock()
				fmt.Println(id)
				out.Unlock()
			}
		})
	}
	wg.Wait()
	return crash
}

// kill -9 at any time: what was acknowledged is there, whole, and in an unbroken
// log.
func TestKilledAtAnyMoment(t *testing.T) {
	path := statePath(t)
	if err := open(t, path, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]bool{}
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for range rounds {
		killSoon(t, path, acknowledged)
		s := open(t, path, Options{MustExist: true})
		if _, err := s.VerifyAudit(t.Context()); err != nil {
			t.Fatal(err)
		}
		times := map[string]int{}
		for _, o := range outcomes(t, s) {
			times[o]++
		}
		grants, err := s.AllGrants(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held := map[string]bool{}
		for _, g := range grants {
			held[g.ID] = true
		}
		for id := range acknowledged {
			if times[id] == 0 {
				t.Fatalf("%s was acknowledged and is gone", id)
			}
		}
		for id, n := range times { // both or neither, also of what was not acknowledged
			if isGrant := strings.Split(id, ".")[1] == "0"; isGrant != held[id] || !isGrant && n != 2 {
				t.Fatalf("half of %s is there: %d records, grant %t", id, n, held[id])
			}
		}
		if len(held) == 0 {
			t.Fatal("no grant survived")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged over %d kills", len(acknowledged), rounds)
}

// killSoon runs a child, and kills it after a random number of
// acknowledgements, which it adds.
func killSoon(t *testing.T, path string, acknowledged map[string]bool) {
	t.Helper()
	cmd := spawn(t, "append for ever", path)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	left := 20 + rand.IntN(400)
	for lines.Scan() {
		acknowledged[lines.Text()] = true
		if left--; left == 0 {
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		} // and read on: what it said before it died counts
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() == crash || left > 0 {
		t.Fatalf("the child ended by itself: %v, %d acknowledgements to go", err, left)
	}
}

// A full disk: nothing is acknowledged that is not there, nobody hangs, and
// when there is space again the store goes on. The limit on the size of a file
// (setrlimit) stands for the disk; it meets bbolt where it grows its file.
func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	path := statePath(t)
	if err := open(t, path, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	out, err := spawn(t, "fill the disk", path).Output()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	checkFilled(t, path, string(out))
}

// The same with a file system that is really full: there the file grows, as it
// is sparse, and the pages cannot be written.
func TestAFullFileSystemRefusesAndRecovers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Skip("cannot mount a tmpfs here:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path, ballast := filepath.Join(dir, "state.db"), filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	refused := recordUntilRefused(t.Context(), s, func(string) {})
	if refused == nil || !errors.Is(refused, ErrUnavailable) || !errors.Is(refused, syscall.ENOSPC) {
		t.Fatalf("a full file system: %v", refused)
	}
	before, err := s.AuditHead()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := s.Record(t.Context(), note("there is space again")); err != nil {
		t.Fatal(err)
	}
	if after, err := s.VerifyAudit(t.Context()); err != nil || after.Seq != before.Seq+1 {
		t.Errorf("%v after %v, %v", after, before, err)
	}
}

func recordUntilRefused(ctx context.Context, s *Store, acknowledged func(string)) error {
	var mu sync.Mutex
	var refused error
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 20_000 {
				r := note(fmt.Sprint(w, ".", i))
				r.Detail = strings.Repeat("x", 1000)
				err := s.Record(ctx, r)
				mu.Lock()
				if err != nil {
					refused = err
				} else {
					acknowledged(r.Outcome)
				}
				stop := refused != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	return refused
}

func fillTheDisk(path string) int {
	signal.Ignore(syscall.SIGXFSZ) // so that writing beyond the limit is an error
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := Open(path, Options{MustExist: true})
	if err != nil {
		fmt.Println("open", err)
		return crash
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return crash
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 3 << 20, Max: old.Max}); err != nil {
		return crash
	}
	count := 0
	refused := recordUntilRefused(ctx, s, func(string) { count++ })
	if !errors.Is(refused, ErrUnavailable) {
		fmt.Println("not refused:", refused)
		return crash
	}
	if err := s.Record(ctx, note("still full")); err != nil && !errors.Is(err, ErrUnavailable) {
		fmt.Println("still full:", err)
		return crash
	} else if err == nil {
		count++ // one small record may fit where sixteen did not
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return crash
	}
	if err := s.Record(ctx, note("there is space again")); err != nil {
		fmt.Println("with space again:", err)
		return crash
	}
	fmt.Println(count + 1)
	if err := s.Close(); err != nil {
		fmt.Println("close", err)
		return crash
	}
	return 0
}

// checkFilled holds the child's last word, how many records it has
// acknowledged, against what is in the file.
func checkFilled(t *testing.T, path, out string) {
	t.Helper()
	want, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, path, Options{MustExist: true})
	var last audit.Entry
	if err := s.AuditEntries(t.Context(), 0, func(e audit.Entry) error { last = e; return nil }); err != nil {
		t.Fatal(err)
	}
	r, err := last.Record()
	if err != nil || last.Seq != uint64(want) || r.Outcome != "there is space again" {
		t.Errorf("%d acknowledged; the log ends at %d with %q, %v", want, last.Seq, r.Outcome, err)
	}
}
