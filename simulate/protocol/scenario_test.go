package protocol

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/issuers"
)

// event is one line of a scenario: what happens, to whom, and how long the world then runs.
type event struct {
	what string
	who  string
	n    int
	wait time.Duration
}

func (e event) String() string { return fmt.Sprintf("%s %s %d, then %s", e.what, e.who, e.n, e.wait) }

// verbs are the language: what may happen to an honest site, to an issuer, and what a
// liar may do. A verb stands as often as it shall be drawn.
var verbs = []struct {
	what string
	who  []string
}{
	{"rotate", []string{issuerA, issuerB}},
	{"cut", honestNames}, {"join", honestNames}, {"join", honestNames},
	{"crash", honestNames}, {"restart", honestNames}, {"backup", honestNames}, {"restore", honestNames},
	{"full disk", honestNames}, {"clock", honestNames},
	{"distrust", []string{"a"}},
	{"freeze", []string{"all"}},
	{"forged key", []string{"d"}}, {"key of another issuer", []string{"d"}},
	{"total replacement", []string{issuerC}}, {"copied key", honestNames},
	{"vote", []string{"x", "y", "s", "t"}}, {"vote", []string{"x", "y", "s", "t"}}, {"vote", []string{"x", "y", "s", "t"}},
	{"vote twice", []string{"x", "y"}},
	{"genuine", []string{"x", "y", "s", "t"}},
	{"roll back", []string{"x", "y", "s"}}, {"equivocate", []string{"x", "y", "s"}}, {"future", []string{"x", "y", "s"}},
	{"mix", []string{"x", "y", "s"}}, {"sign as another", []string{"x", "y", "s"}}, {"fast-forward", []string{"y", "s"}},
	{"new epoch", []string{"x", "y", "s"}},
	{"bury another's key", []string{"x", "y", "s"}}, {"bury without the issuer's word", []string{"y"}},
	{"bury and take back", []string{"x"}},
}

// scenario makes a seed's events.
func scenario(seed uint64) []event {
	random := rand.New(rand.NewPCG(seed, 13))
	var all []event
	for range 28 {
		v := verbs[random.IntN(len(verbs))]
		all = append(all, event{v.what, v.who[random.IntN(len(v.who))], random.IntN(1000), time.Duration(60+random.IntN(840)) * time.Second})
	}
	return all
}

// run plays the events in a bubble of fake time and gives what was wrong.
func run(seed uint64, events []event) []string {
	w := newWorld(seed)
	w.step = "the start"
	for _, n := range honestNames {
		w.start(n, newDisk())
	}
	defer func() {
		for _, n := range honestNames {
			if s := w.honest[n]; s != nil {
				s.halt()
			}
		}
	}()
	wait := func(d time.Duration) {
		for ; d > 0 && len(w.failed) == 0; d -= 2 * time.Minute {
			time.Sleep(min(d, 2*time.Minute))
			synctest.Wait()
			w.revive()
			w.check()
		}
	}
	wait(10 * time.Minute)
	for i, e := range events {
		w.step = fmt.Sprintf("event %d (%s)", i+1, e)
		w.play(e)
		wait(e.wait)
		if len(w.failed) > 0 {
			return w.failed
		}
	}
	w.step = "the quiet after all events"
	w.heal()
	wait(50 * time.Minute)
	w.settled()
	return w.failed
}

// revive starts sites again that died at a write.
func (w *world) revive() {
	for _, n := range honestNames {
		if s := w.honest[n]; s != nil && s.stop != nil && w.crashed(s) {
			s.halt()
			w.start(n, s.disk)
		}
	}
}

func (w *world) heal() {
	clear(w.cut)
	w.stolen = false
	for _, n := range honestNames {
		clear(w.shown[n])
		w.honest[n].shift.Store(0)
		w.honest[n].disk.set("", false)
		if w.honest[n].stop == nil {
			w.start(n, w.honest[n].disk)
		}
	}
}

func (w *world) play(e event) {
	if s := w.honest[e.who]; s != nil {
		w.playSite(e, s)
		return
	}
	if l := w.liars[e.who]; l != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if l.other["fork"].Head != "" && e.what != "new epoch" {
			return // nothing that it says is heard
		}
		w.playLiar(e, l)
		return
	}
	switch e.what {
	case "rotate":
		w.rotate(e.who)
	case "freeze": // nobody hears anybody for longer than evidence counts
		for _, n := range honestNames {
			w.cut[n] = true
		}
		time.Sleep(27 * time.Hour)
		synctest.Wait()
		w.revive()
		w.check()
		clear(w.cut)
	case "total replacement":
		w.stolen = true
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		w.revive()
		w.check()
		w.stolen = false
	}
}

func (w *world) playSite(e event, s *site) {
	switch e.what {
	case "cut", "join":
		w.mu.Lock()
		w.cut[e.who] = e.what == "cut"
		w.mu.Unlock()
	case "crash":
		s.disk.set([]string{"before", "after"}[e.n%2], false)
	case "restart":
		s.halt()
		w.start(e.who, s.disk)
	case "backup":
		w.backups[e.who] = s.disk.copied()
	case "restore":
		if b := w.backups[e.who]; b != nil {
			s.halt()
			delete(w.places, e.who) // what it knew of others is lost with the disk
			delete(w.deaths, e.who)
			w.start(e.who, b.copied())
		}
	case "full disk":
		s.disk.set("", e.n%2 == 0)
	case "clock":
		s.shift.Store(int64(e.n%100-50) * int64(time.Second))
	case "distrust":
		kid := w.published[issuerA][e.n%2]
		t := issuers.Tombstone{Issuer: issuerA, Thumbprint: printOf(kid), Reason: "stolen", Until: s.clock().Add(6 * time.Hour)}
		_ = s.Distrust(context.Background(), t) // a full disk refuses it, and that is right
	case "forged key":
		w.show(e.who, issuerA, slices.Concat(w.published[issuerA], []string{"forged"})...)
	case "key of another issuer":
		w.show(e.who, issuerA, slices.Concat(w.published[issuerA], w.published[issuerB])...)
	case "copied key":
		for _, n := range honestNames {
			w.show(n, issuerB, slices.Concat(w.published[issuerB], w.published[issuerA])...)
		}
	}
}

func (w *world) playLiar(e event, l *liar) {
	now := time.Now()
	genuine := func() {
		for issuer, kids := range w.published {
			l.observes[issuer] = nil
			for _, k := range kids {
				l.observes[issuer] = append(l.observes[issuer], printOf(k))
			}
		}
		clear(l.twice)
	}
	genuine()
	switch e.what {
	case "vote":
		l.observes[issuerA] = append(l.observes[issuerA], printOf("forged"))
	case "vote twice":
		l.observes[issuerA] = append(l.observes[issuerA], printOf("forged"))
		l.twice[issuerA] = true
		l.extra = append(l.extra, l.speakAs(l.identity, now, nil))
		clear(l.twice)
		return
	case "roll back":
		for len(l.now) < 2 {
			l.say(now)
			w.let(15 * time.Minute)
			now = time.Now()
		}
		if !w.raised[string(l.name)] {
			l.extra = append(l.extra, l.now[e.n%(len(l.now)-1)])
		}
		return
	case "future":
		l.extra = append(l.extra, l.speakAs(l.identity, now, func(h *head) { h.Issued += 7200; h.Expires += 7200 }))
		return
	case "mix":
		mixed := l.speakAs(l.identity, now, nil)
		l.observes[issuerA] = append(l.observes[issuerA], printOf("forged"))
		mixed.Records = l.speakAs(l.identity, now, nil).Records
		l.extra = append(l.extra, mixed)
		return
	case "sign as another":
		l.extra = append(l.extra, l.speakAs(newIdentity(honestNames[e.n%3]), now, func(h *head) { h.Version += 1 << 20 }))
		return
	case "bury another's key":
		l.bury(issuerA, printOf(w.published[issuerA][e.n%2]), now, 100*time.Hour)
	case "bury without the issuer's word":
		l.bury(issuerB, printOf(w.published[issuerB][e.n%2]), now, 100*time.Hour)
	case "bury and take back":
		l.bury(issuerH, printOf(w.published[issuerH][0]), now, 100*time.Hour)
		l.say(now)
		w.let(20 * time.Minute)
		l.tombs = l.tombs[:len(l.tombs)-1]
	case "equivocate":
		if len(l.now) == 0 {
			l.say(now)
			return
		}
		other := l.speakAs(l.identity, now.Add(-time.Second), nil)
		l.say(now)
		l.other["a"], l.other["b"], l.other["fork"] = other, other, other
		return
	case "fast-forward":
		l.version += 1 << 40
	case "new epoch":
		l.epoch++
		l.version, l.prev = 0, trust.Digest{}
		l.extra, l.tombs = nil, slices.Clone(l.buried)
		w.raised[string(l.name)] = true
	}
	l.say(now)
}

// let has what a liar said be heard before it goes on. The caller holds the lock.
func (w *world) let(d time.Duration) {
	w.mu.Unlock()
	defer w.mu.Lock()
	time.Sleep(d)
	synctest.Wait()
	w.revive()
	w.check()
}

// story prints a scenario.
func story(events []event) string {
	var b strings.Builder
	for i, e := range events {
		fmt.Fprintf(&b, "  %2d. %s\n", i+1, e)
	}
	return b.String()
}
