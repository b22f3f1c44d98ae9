package members

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/roots"
)

// Issue: one command for the newcomer and one approval per member; nobody edits a file or
// hands over a token.
func TestSixthSiteJoinsFive(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t)
		a := n.begin("a")
		n.must(a.Found(t.Context(), "rare"))
		five := []*member{a}
		for _, name := range []string{"b", "c", "d", "e"} {
			m := n.begin(name)
			n.join(m, a)
			time.Sleep(30 * time.Second)
			for _, other := range five[1:] {
				n.must(other.Approve(t.Context(), name, Approval{Query: true}))
			}
			five = append(five, m)
		}
		time.Sleep(time.Minute)
		for _, m := range five {
			if got := m.sees(); len(strings.Fields(got)) != 4 {
				t.Fatalf("%s sees %q", m.name, got)
			}
		}
		f := n.begin("f")
		n.join(f, five[2])
		time.Sleep(25 * time.Second)
		for _, m := range five {
			if s := m.site("f"); m == five[2] != s.Admitted || m != five[2] && !s.Pending {
				t.Errorf("%s: f admitted %t, pending %t: %s", m.name, s.Admitted, s.Pending, s.Why)
			}
		}
		for _, m := range five {
			if m != five[2] {
				n.must(m.Approve(t.Context(), "f", Approval{Query: m == a, WitnessFor: []string{"all"}}))
			}
		}
		time.Sleep(time.Minute)
		if got := f.sees(); got != "a b c d e" {
			t.Errorf("f sees %q", got)
		}
		for _, m := range five {
			if s := m.site("f"); !s.Admitted || s.Query != (m == a) || (m != five[2]) != slices.Equal(s.WitnessFor, []string{"all"}) {
				t.Errorf("%s: %+v", m.name, s)
			}
			if m.View().Network != a.View().Network {
				t.Errorf("%s is in another network", m.name)
			}
		}
		if got := f.store.outcomes(); got["joining"] != 1 || got["joined"] != 1 || got["known"] != 5 {
			t.Errorf("audit of f: %v", got)
		}
	})
}

// Two endorsements admit a site where nobody decided about it; one does not.
func TestEndorsementsAdmit(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t)
		a := n.begin("a")
		n.must(a.Found(t.Context(), "rare"))
		b, c, d := n.begin("b"), n.begin("c"), n.begin("d")
		for _, m := range []*member{b, c, d} {
			n.join(m, a)
			time.Sleep(30 * time.Second)
		}
		// c needs b's operator's word, or another member's besides a's, and has neither.
		if got := b.sees(); got != "a" {
			t.Errorf("b sees %q", got)
		}
		if got := c.sees(); got != "a b" {
			t.Errorf("c, which joined when b was in, sees %q", got)
		}
		n.must(b.Approve(t.Context(), "c", Approval{}))
		time.Sleep(time.Minute)
		if got := b.sees(); got != "a c" {
			t.Errorf("b sees %q", got)
		}
		if s := b.site("d"); s.Admitted || len(s.Endorsers) != 1 || s.Needed != 2 {
			t.Errorf("d at b: %+v", s)
		}
		n.must(c.Approve(t.Context(), "d", Approval{}))
		time.Sleep(time.Minute)
		if s := b.site("d"); !s.Admitted || s.Query || s.Approved {
			t.Errorf("d at b, endorsed by a and c: %+v", s)
		}
	})
}

// Section 4, Expel, and invariant 15: a local block is immediate and sovereign; elsewhere a vote is
// shown and moves nobody.
func TestBlockIsLocalAndAVoteIsAdvice(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t)
		a := n.begin("a")
		n.must(a.Found(t.Context(), "rare"))
		b, c := n.begin("b"), n.begin("c")
		n.join(b, a)
		time.Sleep(30 * time.Second)
		n.join(c, a)
		time.Sleep(30 * time.Second)
		n.must(b.Approve(t.Context(), "c", Approval{Query: true}))
		time.Sleep(time.Minute)
		changed, _ := a.Changed()
		n.must(a.VoteToExpel(t.Context(), "c"))
		select {
		case <-changed:
		default:
			t.Error("whoever follows the roster was not told")
		}
		if s := a.site("c"); s.Admitted || !s.Blocked || a.Serve(t.Context(), c.node, encode(request{})) != nil {
			t.Errorf("c at a: %+v", s)
		}
		time.Sleep(time.Minute)
		if s := b.site("c"); !s.Admitted || !slices.Equal(s.Expellers, []trust.SiteName{"a"}) {
			t.Errorf("c at b: %+v", s)
		}
		// Nothing that c says reaches a any more, whoever brings it.
		before := a.site("c").Update
		n.must(c.TakeRecord(t.Context(), updated(t, c, "c root", func(r *roots.Record) { r.Display = "changed" }), public("c")))
		time.Sleep(time.Minute)
		if got := a.site("c"); got.Admitted {
			t.Errorf("c came back at a: %+v", got)
		}
		if got := b.site("c").Update; got != before+1 {
			t.Errorf("b holds update %d", got)
		}
		n.must(a.Unblock(t.Context(), "c"))
		n.must(a.Approve(t.Context(), "c", Approval{}))
		time.Sleep(time.Minute)
		if s := b.site("c"); !s.Admitted || len(s.Expellers) != 0 {
			t.Errorf("a took its vote back, and c at b is %+v", s)
		}
	})
}

func updated(t *testing.T, m *member, root string, change func(*roots.Record)) roots.Signed {
	t.Helper()
	c, err := m.Own().Update(change, []crypto.Signer{private(root)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c.Newest()
}

// A stolen node key is replaced by the root key: peers follow without anybody's help, also where
// the old NodeID stands in the configuration, and the thief is nobody.
func TestNodeKeyIsReplaced(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t)
		pin := func(name string) Pin {
			return Pin{Name: trust.SiteName(name), Node: nodeOf(name, "x:1").ID, Addrs: []string{name + ":7946"}, Query: true}
		}
		a, b := n.begin("a", pin("b"), pin("c")), n.begin("b", pin("a"), pin("c"))
		c := n.begin("c", pin("a"), pin("b"))
		time.Sleep(30 * time.Second)
		if a.sees() != "b c" || a.site("b").ID != b.Own().ID() {
			t.Fatalf("a sees %q", a.sees())
		}
		signed := updated(t, b, "b root", func(r *roots.Record) { r.Nodes = []roots.Node{nodeOf("b new", "b:7946")} })
		if err := b.TakeRecord(t.Context(), signed, public("b")); !errors.Is(err, ErrOtherNode) {
			t.Errorf("the node would have ended itself: %v", err)
		}
		n.must(b.TakeRecord(t.Context(), signed, public("b new")))
		time.Sleep(time.Minute) // the old node tells it, while it still runs
		store := b.store
		b.halt()
		if _, err := New(Options{Site: "b", Key: private("b"), Network: "candig", Store: store.copy(), Mesh: b}); !errors.Is(err, ErrOtherNode) {
			t.Errorf("the old key still starts the site: %v", err)
		}
		b = n.start("b", "b new", store, pin("a"), pin("c"))
		time.Sleep(time.Minute)
		for _, m := range []*member{a, c} {
			if s := m.site("b"); s.Node != b.node || !s.Admitted || !s.Query || s.Update != 1 {
				t.Errorf("b at %s: %+v", m.name, s)
			}
			if m.Serve(t.Context(), nodeOf("b", "x:1").ID, encode(request{})) != nil {
				t.Errorf("%s still answers the thief", m.name)
			}
			// The new node endorses under its own key.
			if s := m.site("b"); len(s.Endorsers) != 1 {
				t.Errorf("b is endorsed by %v", s.Endorsers)
			}
		}
		a.halt()
		a = n.start("a", "a", a.store, pin("b"), pin("c"))
		if s := a.site("b"); s.Node != b.node {
			t.Errorf("after a restart, with the old NodeID in the configuration: %+v", s)
		}
	})
}

// Stolen root: whoever speaks with today's root key is heard until the owner rotates.
func TestStolenRootKeyEndsWithARotation(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t)
		a := n.begin("a")
		n.must(a.Found(t.Context(), "rare"))
		b := n.begin("b")
		n.join(b, a)
		time.Sleep(30 * time.Second)
		stolen, err := b.Own().Update(func(r *roots.Record) { r.Nodes = []roots.Node{nodeOf("thief", "thief:1")} }, []crypto.Signer{private("b root")}, time.Now())
		n.must(err)
		if _, err := a.take(t.Context(), news{Chains: [][]roots.Signed{stolen.Records()}}); err != nil {
			t.Fatal(err)
		}
		if s := a.site("b"); s.Node != nodeOf("thief", "thief:1").ID {
			t.Fatalf("b at a: %+v", s)
		}
		rotated, err := b.Own().Rotate(roots.Rotation{Signers: []crypto.Signer{private("b next")}, Next: []ed25519.PublicKey{public("b after")}}, time.Now())
		n.must(err)
		n.must(b.TakeRecord(t.Context(), rotated.Newest(), public("b")))
		if _, err := a.take(t.Context(), news{Chains: [][]roots.Signed{rotated.Records()}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := a.site("b"); s.Node != b.node || s.Epoch != 2 || !s.Admitted || s.Forked {
			t.Errorf("b at a after the rotation: %+v", s)
		}
		// Two records for one place weigh nothing, until the next rotation.
		one, err := rotated.Update(func(r *roots.Record) { r.Display = "one" }, []crypto.Signer{private("b next")}, time.Now())
		n.must(err)
		two, err := rotated.Update(func(r *roots.Record) { r.Display = "two" }, []crypto.Signer{private("b next")}, time.Now())
		n.must(err)
		if _, err := a.take(t.Context(), news{Chains: [][]roots.Signed{one.Records(), two.Records()}}); err != nil {
			t.Fatal(err)
		}
		if s := a.site("b"); s.Admitted || !s.Forked {
			t.Errorf("b at a after a fork: %+v", s)
		}
		a.halt()
		a = n.start("a", "a", a.store)
		if s := a.site("b"); s.Admitted || !s.Forked {
			t.Errorf("a restart forgot the fork: %+v", s)
		}
	})
}

// Threat: restore from an old backup. What was decided since is for the operator to say again;
// what was signed since comes back from the peers, this site's own record as well.
func TestRestoredFromAnOldBackup(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t)
		a := n.begin("a")
		n.must(a.Found(t.Context(), "rare"))
		b, c := n.begin("b"), n.begin("c")
		n.join(b, a)
		time.Sleep(30 * time.Second)
		backup := b.store.copy()
		n.join(c, a)
		time.Sleep(30 * time.Second)
		n.must(b.Approve(t.Context(), "c", Approval{}))
		n.must(b.TakeRecord(t.Context(), updated(t, b, "b root", func(r *roots.Record) { r.Display = "B" }), public("b")))
		time.Sleep(time.Minute)
		b.halt()
		b = n.start("b", "b", backup)
		time.Sleep(time.Minute)
		if r := b.Own().Record(); r.Update != 1 || r.Display != "B" {
			t.Errorf("b forgot its own record: (%d,%d)", r.Epoch, r.Update)
		}
		if s := b.site("c"); s.Approved || !s.Pending {
			t.Errorf("c at b: %+v", s)
		}
		if s := a.site("b"); s.Forked || !s.Admitted {
			t.Errorf("b at a: %+v", s)
		}
	})
}

// Nobody takes over a name that is in use here.
func TestNamesAreNotTakenOver(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t)
		a := n.begin("a")
		n.must(a.Found(t.Context(), "rare"))
		b := n.begin("b")
		n.join(b, a)
		time.Sleep(30 * time.Second)
		// Another site that calls itself b, and one that calls itself a.
		for i, calls := range []string{"b", "a"} {
			c, err := roots.Incept(roots.Record{Name: trust.SiteName(calls), Nodes: []roots.Node{nodeOf("squatter "+calls, "s:1")}},
				[]crypto.Signer{private("squatter root " + calls)}, []ed25519.PublicKey{public("squatter next " + calls)}, time.Now())
			n.must(err)
			if _, err := a.Invite(t.Context(), c.ID()); err != nil {
				t.Fatal(err)
			}
			if _, err := a.take(t.Context(), news{Chains: [][]roots.Signed{c.Records()}}); err != nil {
				t.Fatal(err)
			}
			want := calls + "-" + string(c.ID())[:6]
			if s := a.site(want); s.Calls != trust.SiteName(calls) || s.ID != c.ID() {
				t.Errorf("squatter %d: %+v", i, s)
			}
		}
		if s := a.site("b"); s.ID != b.Own().ID() {
			t.Errorf("b is %+v", s)
		}
		if err := a.Approve(t.Context(), "b", Approval{Name: "a"}); err == nil {
			t.Error("a site was given this site's own name")
		}
		n.must(a.Approve(t.Context(), "b", Approval{Name: "genome-centre"}))
		if s := a.site("genome-centre"); s.ID != b.Own().ID() {
			t.Errorf("renamed: %+v", s)
		}
	})
}

func TestInviteHarmsNobodyWhoLeaksIt(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t)
		a := n.begin("a")
		n.must(a.Found(t.Context(), "rare"))
		b, thief := n.begin("b"), n.begin("thief")
		text, err := a.Invite(t.Context(), b.Own().ID())
		n.must(err)
		if err := thief.Desk.Join(t.Context(), text, true); !errors.Is(err, ErrInvite) {
			t.Errorf("somebody else took the invite: %v", err)
		}
		for name, r := range map[string]joinRequest{
			"his own chain":       {text, thief.Own().Records()},
			"the invitee's":       {text, b.Own().Records()},
			"no chain":            {Invite: text},
			"no invite":           {Chain: b.Own().Records()},
			"an invite of his":    {invited(t, thief, b), b.Own().Records()},
			"a bent invite":       {text[:len(text)-4] + "AAAA", b.Own().Records()},
			"a chain of a forger": {text, chainOf(t, "b", time.Now().Add(time.Second)).Records()},
		} {
			if got := a.ServeJoin(t.Context(), public("thief"), encode(r)); got != nil {
				t.Errorf("%s: %s", name, got)
			}
		}
		if a.sees() != "" || !a.Expects() {
			t.Errorf("a sees %q, expects %t", a.sees(), a.Expects())
		}
		time.Sleep(InviteLife)
		if got := a.ServeJoin(t.Context(), public("b"), encode(joinRequest{text, b.Own().Records()})); got != nil || a.Expects() {
			t.Error("an invite outlives its time")
		}
		if err := b.Desk.Join(t.Context(), text, true); !errors.Is(err, ErrInvite) {
			t.Errorf("a late invite was taken: %v", err)
		}
	})
}

func invited(t *testing.T, by, site *member) string {
	t.Helper()
	text, err := by.Invite(t.Context(), site.Own().ID())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSiteIsInOneNetwork(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t)
		a, b, c := n.begin("a"), n.begin("b"), n.begin("c")
		n.must(a.Found(t.Context(), "one"))
		n.must(c.Found(t.Context(), "two"))
		n.join(b, a)
		time.Sleep(30 * time.Second)
		if err := b.Desk.Join(t.Context(), invited(t, c, b), false); !errors.Is(err, ErrNetwork) {
			t.Errorf("b joined a second network: %v", err)
		}
		if err := b.Found(t.Context(), "three"); !errors.Is(err, ErrNetwork) {
			t.Errorf("b founded a second network: %v", err)
		}
		// Words are bound to their network.
		var foreign string
		n.must(c.step(t.Context(), func(next *draft) error {
			if err := c.say(next, b.Own().ID(), Endorses); err != nil {
				return err
			}
			foreign = next.sites[next.own.ID()].words[b.Own().ID()].envelope
			return nil
		}))
		n.must(a.step(t.Context(), func(next *draft) error {
			next.change(c.Own().ID()).standing = roots.Stand(c.Own())
			if took, err := next.takeWord(foreign); took || !errors.Is(err, ErrWord) {
				t.Errorf("a word of another network: %t %v", took, err)
			}
			return nil
		}))
	})
}

// Fail closed: what could not be written has not happened.
func TestNothingHappensThatIsNotWritten(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t)
		a := n.begin("a")
		n.must(a.Found(t.Context(), "rare"))
		b := n.begin("b")
		n.join(b, a)
		time.Sleep(30 * time.Second)
		a.store.mu.Lock()
		a.store.fail = errors.New("disk full")
		a.store.mu.Unlock()
		if err := a.Block(t.Context(), "b"); err == nil || a.site("b").Blocked {
			t.Errorf("a block that was not written: %v", err)
		}
	})
}

// A site that left says so itself, and its word counts for nothing.
func TestLeaving(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t)
		a := n.begin("a")
		n.must(a.Found(t.Context(), "rare"))
		b := n.begin("b")
		n.join(b, a)
		time.Sleep(30 * time.Second)
		n.must(b.TakeRecord(t.Context(), updated(t, b, "b root", func(r *roots.Record) { r.Left = true }), public("b")))
		time.Sleep(time.Minute)
		if s := a.site("b"); s.Admitted || !s.Left || s.Pending {
			t.Errorf("b at a: %+v", s)
		}
	})
}

// A record that is not renewed ends by time alone.
func TestRecordsEnd(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t)
		a := n.begin("a")
		n.must(a.Found(t.Context(), "rare"))
		b := n.begin("b")
		n.join(b, a)
		time.Sleep(time.Minute)
		for _, m := range []*member{a, b} {
			m.halt()
		}
		time.Sleep(366 * 24 * time.Hour)
		a = n.start("a", "a", a.store)
		if s := a.site("b"); s.Admitted || !strings.Contains(s.Why, "expired") {
			t.Errorf("b at a a year later: %+v", s)
		}
	})
}
