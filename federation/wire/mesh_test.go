package wire

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"
)

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestThreeSitesConnectAndAskEachOther(t *testing.T) {
	uhn, bcgsc, chus := newSite(t, "uhn"), newSite(t, "bcgsc"), newSite(t, "chus")
	all := []*site{uhn, bcgsc, chus}
	for i, s := range all {
		s.start(all[(i+1)%3].pin(), all[(i+2)%3].pin())
	}
	for _, from := range all {
		for _, to := range all {
			if from != to {
				from.ask(to)
			}
		}
	}
	state := uhn.state(bcgsc)
	if !state.Connected || state.State != "connected" || state.Site != "bcgsc" || state.Software != "candignode/test" || state.Version != 1 {
		t.Errorf("sites list shows %+v", state)
	}
	if got := uhn.mesh.Stats().PeersConnected; got != 2 {
		t.Errorf("%d peers connected, want 2", got)
	}
}

func TestOnlyOneSideNeedsAnAddress(t *testing.T) {
	inside, outside := newSite(t, "inside"), newSite(t, "outside")
	outside.start(inside.quiet())
	inside.start(outside.pin())
	outside.ask(inside)
	inside.ask(outside)
	if d := outside.state(inside).Direction; d != "in" {
		t.Errorf("direction %q, want in", d)
	}
	if d := inside.state(outside).Direction; d != "out" {
		t.Errorf("direction %q, want out", d)
	}
}

func TestHostNamesAreResolved(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	b.start(a.quiet())
	pin := b.pin()
	pin.Addr = "localhost" + pin.Addr[len("127.0.0.1"):]
	a.start(pin)
	a.ask(b)
}

func TestALineIsOnlyForPinnedNodes(t *testing.T) {
	a, b, c := newSite(t, "a"), newSite(t, "b"), newSite(t, "c")
	defer c.sock.Close()
	defer b.sock.Close()
	a.start(b.pin())
	if _, err := a.mesh.Line(c.id); !errors.Is(err, ErrNotPinned) {
		t.Errorf("Line to a stranger: %v", err)
	}
	if _, err := a.mesh.Line(b.id); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Line to a peer that is down: %v", err)
	}
}

// The exporter is the same at both ends and differs between connections, or an
// assertion could be replayed on another one (threat: replay of a forwarded query
// on the same, another and a restarted connection).
func TestExporterBindsToOneConnection(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	seen := make(chan [32]byte, 16)
	mesh, err := New(b.options(a.quiet()))
	if err != nil {
		t.Fatal(err)
	}
	b.run(mesh, map[Kind]Handler{"echo": func(_ context.Context, in Incoming) ([]byte, error) {
		seen <- in.Exporter
		if !bytes.Equal(in.PeerKey, a.key.Public().(interface{ Equal(x any) bool }).(any).([]byte)) {
			return nil, errors.New("wrong key")
		}
		return nil, nil
	}})
	_ = seen
}
