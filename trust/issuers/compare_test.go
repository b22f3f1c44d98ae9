package issuers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
)

// wired lets one desk call another directly, and keeps what was said.
type wired struct {
	alone
	from     trust.NodeID
	to       *Desk
	requests []string
	answers  []string
	old      bool // the peer is of a version that compares no buckets
}

func (m *wired) Call(_ context.Context, _ trust.NodeID, request []byte) ([]byte, error) {
	m.requests = append(m.requests, string(request))
	answer := []byte("{}")
	if !m.old || !strings.Contains(string(request), `"buckets"`) {
		answer = m.to.ServeSync(m.from, request)
	}
	m.answers = append(m.answers, string(answer))
	return answer, nil
}

// crowd is two desks that each hold their own word of the same many authors, wired together.
func crowd(t *testing.T, authors int) (a, b *Desk, line *wired, signers []signer) {
	t.Helper()
	nodes := map[trust.SiteName]trust.NodeID{}
	for i := range authors {
		s := newSigner(trust.SiteName(fmt.Sprintf("site%03d", i)))
		signers = append(signers, s)
		nodes[s.site] = s.node
	}
	start := func(name, other trust.SiteName) *Desk {
		peers := maps.Clone(nodes)
		peers[other] = newSigner(other).node
		self := newSigner(name)
		d, err := New(Options{Site: name, Node: self.node, Key: self.private, Network: testNetwork, Peers: pinned(peers), Store: newMemory(),
			Fetcher: slowFetcher{}, Now: func() time.Time { return noon }})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a, b = start("a", "b"), start("b", "a")
	line = &wired{from: a.node, to: b}
	a.mesh = line
	return a, b, line, signers
}

func take(t *testing.T, d *Desk, w wireBundle) {
	t.Helper()
	if _, err := d.accept(t.Context(), w); err != nil {
		t.Fatal(err)
	}
}

// Section 10: between two large nodes that hold the same, one short question is asked; when one author said something new, only its
// bucket is told, and only its records are sent.
func TestBucketsAreComparedFirst(t *testing.T) {
	a, b, line, signers := crowd(t, 40)
	for _, s := range signers {
		w := s.chain(1, 1)[0]
		take(t, a, w)
		take(t, b, w)
	}
	sync := func() string {
		line.requests, line.answers = nil, nil
		if err := a.syncWith(t.Context(), b.node); err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, r := range line.requests {
			said = append(said, fmt.Sprint(strings.Contains(r, `"buckets"`), strings.Contains(r, `"have"`), strings.Contains(r, `"only":true`)))
		}
		return strings.Join(said, "; ")
	}
	if got := sync(); got != "false true false" {
		t.Errorf("a new peer is asked %s", got)
	}
	if got := sync(); got != "true false false" || len(line.requests[0]) > 2048 || len(line.answers[0]) > 64 {
		t.Errorf("with nothing new: %s, %d bytes and %q", got, len(line.requests[0]), line.answers[0])
	}
	news := signers[7].bundle(1, 0, 2, trust.DigestOf([]byte(signers[7].chain(1, 1)[0].Head)), nil)
	take(t, b, news)
	if got := sync(); got != "true false false; false true true" {
		t.Errorf("with news of one: %s", got)
	}
	if got := a.state.Load().author(signers[7].site).place().Version; got != 2 {
		t.Errorf("version %d is held", got)
	}
	if told := line.requests[1]; len(told) > 1500 || strings.Count(line.answers[1], `"head"`) != 1 {
		t.Errorf("%d bytes were asked, and answered with %.200s", len(told), line.answers[1])
	}
	// What the peer lacks is its own to ask for: it was told in the same words.
	take(t, a, signers[8].bundle(1, 0, 2, trust.DigestOf([]byte(signers[8].chain(1, 1)[0].Head)), nil))
	sync()
	if e, ok := b.errands.take(); !ok || e.node != a.node {
		t.Errorf("the peer will not ask for what it lacks: %+v", e)
	}
}

// The figures of docs/performance.md: what a comparison costs at 5, 50 and 500 sites when nothing differs.
func TestComparisonStaysSmall(t *testing.T) {
	for authors, most := range map[int]int{5: 700, 50: 2048, 500: 2048} {
		a, b, line, _ := crowd(t, authors-2)
		for range 2 {
			line.requests = nil
			if err := a.syncWith(t.Context(), b.node); err != nil {
				t.Fatal(err)
			}
		}
		if len(line.requests) != 1 || len(line.requests[0]) > most {
			t.Errorf("%d sites: %d requests, the first of %d bytes", authors, len(line.requests), len(line.requests[0]))
		}
		t.Logf("%d sites: %d bytes asked, %d answered", authors, len(line.requests[0]), len(line.answers[len(line.answers)-1]))
	}
}

// A peer of the version before compares no buckets: it is asked as it always was. One that answers with buckets that there are
// not is asked for nothing that it could make large.
func TestPeersThatCompareNoBuckets(t *testing.T) {
	a, b, line, signers := crowd(t, 40)
	if err := a.syncWith(t.Context(), b.node); err != nil {
		t.Fatal(err)
	}
	line.old = true
	take(t, b, signers[3].chain(1, 1)[0])
	if err := a.syncWith(t.Context(), b.node); err != nil || a.state.Load().author(signers[3].site) == nil {
		t.Errorf("an older peer's news: %v", err)
	}
	for _, answer := range []string{`{"compared":true,"differ":[-1,64,1000000]}`, `{"compared":true,"differ":[]}`, `{"compared":true}`} {
		m := &script{answers: [][]byte{[]byte(answer), []byte("{}")}}
		a.mesh = m
		if err := a.syncWith(t.Context(), b.node); err != nil || m.calls > 2 {
			t.Errorf("%s: %d calls, %v", answer, m.calls, err)
		}
	}
	a.mesh = &script{answers: [][]byte{[]byte(`{"compared":true,"differ":["x"]}`)}}
	if err := a.syncWith(t.Context(), b.node); err == nil {
		t.Error("words for numbers were taken")
	}
	for _, request := range []string{`{"buckets":["x"]}`, `{"buckets":["` + strings.Repeat(`","`, 200) + `"]}`} {
		if got := b.ServeSync(a.node, []byte(request)); string(got) != "{}" {
			t.Errorf("%.40s was answered %s", request, got)
		}
	}
}

// ForkDetected: a site that heard neither of two heads learns of the fork from whoever holds the proof, bucket by bucket too, and so
// does one that holds only one of them. An author that finds two heads whose digests begin alike is found out as well.
func TestForkReachesWhoHeardNeitherHead(t *testing.T) {
	for name, held := range map[string]bool{"neither head": false, "one head": true} {
		t.Run(name, func(t *testing.T) {
			a, b, _, signers := crowd(t, 40)
			liar := signers[5]
			if err := a.syncWith(t.Context(), b.node); err != nil {
				t.Fatal(err)
			}
			w, other := liar.bundle(1, 0, 1, trust.Digest{}, nil), liar.bundle(1, 0, 1, trust.Digest{}, func(h *Head) { h.Issued++ })
			take(t, b, w)
			if held {
				take(t, a, w)
			}
			if _, err := b.accept(t.Context(), other); err != nil || !b.state.Load().author(liar.site).forked() {
				t.Fatalf("no fork was seen: %v", err)
			}
			if err := a.syncWith(t.Context(), b.node); err != nil {
				t.Fatal(err)
			}
			if got := a.state.Load().author(liar.site); got == nil || !got.forked() || got.place() != b.state.Load().author(liar.site).place() {
				t.Errorf("the third site holds %v", got)
			}
		})
	}
	one := vector{"n": {Epoch: 1, Version: 1, Hash: strings.Repeat("x", shortHash) + "one"}}
	two := vector{"n": {Epoch: 1, Version: 1, Hash: strings.Repeat("x", shortHash) + "two"}}
	if slices.Equal(one.digests(), two.digests()) || !one["n"].lacks(two["n"]) {
		t.Error("two heads whose digests begin alike pass for one")
	}
	if one["n"].lacks(two["n"].short()) || !one["n"].lacks(place{Epoch: 1, Version: 1, Hash: "x"}) || !one["n"].lacks(place{Epoch: 1, Version: 1}) {
		t.Error("a shortened digest is another, or one that says nothing is the same")
	}
}

// Convergence: whatever two vectors hold, the buckets that differ hold every author of whom they differ, and a part of the vector asks for
// exactly what the whole would, of the authors that both know.
func TestBucketsHideNothing(t *testing.T) {
	draw := func(rt *rapid.T, label string) vector {
		return rapid.MapOfN(rapid.Custom(func(rt *rapid.T) trust.NodeID {
			return trust.NodeID(fmt.Sprint("n", rapid.IntRange(0, 30).Draw(rt, "node")))
		}),
			rapid.Custom(func(rt *rapid.T) place {
				return place{rapid.Int64Range(0, 2).Draw(rt, "e"), 0, rapid.Int64Range(0, 2).Draw(rt, "v"), rapid.SampledFrom([]string{"", "h", "g"}).Draw(rt, "h"), rapid.Bool().Draw(rt, "f")}
			}), 0, 25).Draw(rt, label)
	}
	rapid.Check(t, func(rt *rapid.T) {
		mine, theirs := draw(rt, "mine"), draw(rt, "theirs")
		a := theirs.differing(mine.digests())
		part := mine.in(a.Differ)
		for node := range mine {
			if _, told := part[node]; !told && mine[node] != theirs[node] {
				rt.Fatalf("%s is at %+v here and at %+v there, and is not told", node, mine[node], theirs[node])
			}
		}
		if maps.Equal(mine, theirs) != (len(a.Differ) == 0) || !a.Compared {
			rt.Fatalf("equal %t, %d buckets differ", maps.Equal(mine, theirs), len(a.Differ))
		}
	})
}
