package federation

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

func TestThreeSitesAnswer(t *testing.T) {
	w := newWorld(t)
	uhn := w.site("uhn")
	var arrived []trust.SiteName
	answer, err := uhn.everyone.AskEach(t.Context(), alice(), aQuestion(), func(p query.Part) { arrived = append(arrived, p.Site) })
	if err != nil {
		t.Fatal(err)
	}
	if got := statuses(answer); got != "bcgsc=ok:10 chus=ok:20 uhn=ok:30" {
		t.Errorf("got %s", got)
	}
	if answer.Transaction != "txn-1" || answer.Granularity != query.Count || !answer.Complete() {
		t.Errorf("got %+v", answer)
	}
	if total, _ := answer.Total(); total != 60 {
		t.Errorf("total %d", total)
	}
	if slices.Sort(arrived); !slices.Equal(arrived, []trust.SiteName{"bcgsc", "chus", "uhn"}) {
		t.Errorf("given out %v", arrived)
	}
	for _, name := range []trust.SiteName{"bcgsc", "chus"} {
		if got := w.site(name).self.asked(); len(got) != 1 || got[0].Origin != "uhn" || got[0].Identity != alice().Identity {
			t.Errorf("%s was asked by %+v", name, got)
		}
	}
	if got := uhn.self.asked(); len(got) != 1 || got[0].Origin != "" {
		t.Errorf("uhn was asked by %+v", got)
	}
	forwards := uhn.log.of(audit.EventForward)
	if len(forwards) != 1 {
		t.Fatalf("recorded %+v", forwards)
	}
	want := audit.Record{
		Time: w.now(), Event: audit.EventForward, Transaction: "txn-1", Caller: alice().Identity,
		Passports: []trust.Digest{trust.DigestOf([]byte(alicePassport))}, Question: aQuestion().String(),
		Outcome: "forward", Targets: []trust.SiteName{"bcgsc", "chus"},
	}
	if !reflect.DeepEqual(forwards[0], want) {
		t.Errorf("recorded %+v\nwant     %+v", forwards[0], want)
	}
}

// NoSecondHop (invariant 21): from both ends, and whatever else the caller has.
func TestNoSecondHop(t *testing.T) {
	w := newWorld(t)
	bcgsc := w.site("bcgsc")
	// As if a target's own answering code asked everybody again.
	bcgsc.self.ask = bcgsc.everyone.Ask
	answer, err := w.site("uhn").everyone.Ask(t.Context(), alice(), aQuestion())
	if err != nil {
		t.Fatal(err)
	}
	if got := statuses(answer); got != "bcgsc=refused chus=ok:20 uhn=ok:30" {
		t.Errorf("got %s", got)
	}
	caller := alice()
	caller.Origin = "chus"
	test := aQuestion()
	test.TestMode = true
	for _, q := range []query.Request{aQuestion(), test, {}} {
		if _, err := bcgsc.everyone.Ask(t.Context(), caller, q); !errors.Is(err, ErrSecondHop) {
			t.Errorf("got %v", err)
		}
	}
	for _, s := range w.sent() {
		if s.from == "bcgsc" {
			t.Errorf("bcgsc sent something to %s", s.to)
		}
	}
}

// NoLeak (invariant 20): what travels is passports, as they came, to peers that
// are asked; and nothing of the kind for anybody else.
func TestOnlyPassportsTravel(t *testing.T) {
	w := newWorld(t)
	uhn := w.site("uhn")
	caller := alice()
	caller.Visas = []trust.Visa{{Value: "visa-value-0001", Source: "visa-source-0001"}}
	if _, err := uhn.everyone.Ask(t.Context(), caller, aQuestion()); err != nil {
		t.Fatal(err)
	}
	for _, s := range w.sent() {
		if n := bytes.Count(s.message, []byte(alicePassport)); n != 1 {
			t.Errorf("%d passports went to %s", n, s.to)
		}
		if bytes.Contains(s.message, []byte("visa-")) {
			t.Errorf("visas went to %s beside the passport", s.to)
		}
	}

	// Signed in at this site, without a passport: peers see nobody.
	w = newWorld(t)
	uhn = w.site("uhn")
	caller.Passports = nil
	for _, c := range []trust.Caller{caller, {}} {
		if answer, err := uhn.everyone.Ask(t.Context(), c, aQuestion()); err != nil || !answer.Complete() {
			t.Fatal(statuses(answer), err)
		}
	}
	for _, got := range w.site("chus").self.asked() {
		if !got.Anonymous() || got.Origin != "uhn" {
			t.Errorf("chus was asked by %+v", got)
		}
	}
	for _, s := range w.sent() {
		m, err := parseMessage(s.message)
		if err != nil || len(m.passports) != 0 {
			t.Fatalf("%v, passports %q", err, m.passports)
		}
	}
	if got := uhn.log.of(audit.EventForward)[0].Caller; got != alice().Identity {
		t.Errorf("this site's own record names %+v", got)
	}
}

func TestBadQuestionsAndTestMode(t *testing.T) {
	w := newWorld(t)
	uhn := w.site("uhn")
	bad := aQuestion()
	bad.Variant.Start = -1
	if _, err := uhn.everyone.Ask(t.Context(), alice(), bad); !errors.Is(err, query.ErrRequest) {
		t.Errorf("got %v", err)
	}
	many := alice()
	many.Passports = slices.Repeat(many.Passports, maxPassports+1)
	if _, err := uhn.everyone.Ask(t.Context(), many, aQuestion()); !errors.Is(err, query.ErrRequest) {
		t.Errorf("got %v", err)
	}
	nobody := alice()
	nobody.Identity = trust.Identity{}
	if _, err := uhn.everyone.Ask(t.Context(), nobody, aQuestion()); err == nil {
		t.Error("passports of nobody were sent")
	}
	test := aQuestion()
	test.TestMode = true
	answer, err := uhn.everyone.Ask(t.Context(), alice(), test)
	if err != nil || statuses(answer) != "uhn=ok:30" {
		t.Errorf("got %s, %v", statuses(answer), err)
	}
	if len(w.sent()) != 0 || len(uhn.log.of(audit.EventForward)) != 0 {
		t.Error("something was sent")
	}
}

// A silent peer is given up just before the deadline; the others' parts arrive
// in their own time.
func TestASilentPeerCostsNobodyElseAnything(t *testing.T) {
	for name, c := range map[string]struct {
		timeout         time.Duration // of the caller's ctx; 0: none
		peerTimeout     time.Duration
		atLeast, atMost time.Duration
	}{
		"deadline of the node":     {0, 0, 9 * time.Second, 9900 * time.Millisecond},
		"deadline of the caller":   {time.Second, 0, 900 * time.Millisecond, 990 * time.Millisecond},
		"time of a peer":           {0, 3 * time.Second, 3 * time.Second, 3 * time.Second},
		"deadline before the peer": {2 * time.Second, 3 * time.Second, 1900 * time.Millisecond, 1990 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(o *Options) { o.PeerTimeout, o.Now = c.peerTimeout, nil })
				w.now = time.Now
				for _, h := range w.sites {
					h.restart(time.Now())
				}
				uhn := w.site("uhn")
				uhn.lines["bcgsc"] = silent
				uhn.lines["chus"] = func(ctx context.Context, m []byte) ([]byte, error) {
					time.Sleep(70 * time.Millisecond)
					return w.site("chus").receiver.Serve(ctx, pretendLine{uhn, w.site("chus")}.incoming(m)), nil
				}
				ctx, cancel := context.WithCancel(t.Context())
				if c.timeout > 0 {
					ctx, cancel = context.WithTimeout(t.Context(), c.timeout)
				}
				defer cancel()
				begin := time.Now()
				arrived := map[trust.SiteName]time.Duration{}
				answer, err := uhn.everyone.AskEach(ctx, alice(), aQuestion(), func(p query.Part) {
					arrived[p.Site] = time.Since(begin)
					if took := time.Duration(p.TookMS) * time.Millisecond; took != time.Since(begin) {
						t.Errorf("%s took %v, arrived after %v", p.Site, took, time.Since(begin))
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				if got := statuses(answer); got != "bcgsc=timeout chus=ok:20 uhn=ok:30" {
					t.Errorf("got %s", got)
				}
				if arrived["uhn"] != 0 || arrived["chus"] != 70*time.Millisecond {
					t.Errorf("the others arrived after %v and %v", arrived["uhn"], arrived["chus"])
				}
				if took := time.Since(begin); took < c.atLeast || took > c.atMost {
					t.Errorf("given up after %v, want %v to %v", took, c.atLeast, c.atMost)
				}
			})
		})
	}
}

func silent(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Even a line or an answerer that ignores its ctx cannot hold the answer.
func TestDeadlineHoldsWhateverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		uhn := w.site("uhn")
		release := make(chan struct{})
		uhn.self.ask = func(context.Context, trust.Caller, query.Request) (query.Answer, error) {
			<-release
			return query.Answer{}, errors.New("too late to matter")
		}
		uhn.lines["bcgsc"] = func(context.Context, []byte) ([]byte, error) { <-release; return nil, errors.New("too late") }
		begin := time.Now()
		given := 0
		answer, err := uhn.everyone.AskEach(t.Context(), alice(), aQuestion(), func(query.Part) { given++ })
		if err != nil {
			t.Fatal(err)
		}
		if got := statuses(answer); got != "bcgsc=timeout chus=ok:20 uhn=timeout" {
			t.Errorf("got %s", got)
		}
		if took := time.Since(begin); took != defaultDeadline {
			t.Errorf("took %v", took)
		}
		close(release)
		synctest.Wait()
		if given != 3 {
			t.Errorf("%d parts were given out", given)
		}
	})
}

func TestASlowAnswererHereIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.site("uhn").self.ask = func(ctx context.Context, _ trust.Caller, _ query.Request) (query.Answer, error) {
			<-ctx.Done()
			return query.Answer{}, ctx.Err()
		}
		answer, err := w.site("uhn").everyone.Ask(t.Context(), alice(), aQuestion())
		if got := statuses(answer); err != nil || got != "bcgsc=ok:10 chus=ok:20 uhn=timeout" {
			t.Errorf("got %s, %v", got, err)
		}
	})
}

func TestPeersThatCannotBeAsked(t *testing.T) {
	w := newWorld(t)
	uhn := w.site("uhn")
	uhn.down["bcgsc"], uhn.down["chus"] = ErrUnreachable, ErrBadVersion
	var order []query.Status
	answer, err := uhn.everyone.AskEach(t.Context(), alice(), aQuestion(), func(p query.Part) { order = append(order, p.Status) })
	if got := statuses(answer); err != nil || got != "bcgsc=unreachable chus=bad_version uhn=ok:30" {
		t.Errorf("got %s, %v", got, err)
	}
	if !slices.Equal(order, []query.Status{query.Unreachable, query.BadVersion, query.OK}) {
		t.Errorf("given out %v: what is known at once comes first", order)
	}
	if answer.Complete() {
		t.Error("called complete")
	}
	if len(uhn.log.of(audit.EventForward)) != 0 {
		t.Error("a forwarding that did not happen was recorded")
	}
}

func TestCallsThatFail(t *testing.T) {
	for want, err := range map[string]error{
		"unreachable": ErrUnreachable, "bad_version": ErrBadVersion, "refused": ErrRefused,
		"timeout": context.DeadlineExceeded, "error": errors.New("stream reset by peer: <script>"),
	} {
		w := newWorld(t)
		uhn := w.site("uhn")
		uhn.lines["bcgsc"] = func(context.Context, []byte) ([]byte, error) { return nil, err }
		answer, err := uhn.everyone.Ask(t.Context(), alice(), aQuestion())
		if got := statuses(answer); err != nil || got != "bcgsc="+want+" chus=ok:20 uhn=ok:30" {
			t.Errorf("got %s, %v", got, err)
		}
		if p := answer.Parts[0]; p.Error == nil || p.Error.Code == "" || strings.Contains(p.Error.Message, "<") {
			t.Errorf("%s: error %+v", want, p.Error)
		}
	}
}

// A target refuses; the origin learns that and nothing else.
func TestARefusingPeer(t *testing.T) {
	w := newWorld(t)
	w.site("bcgsc").mayAsk["uhn"] = false
	answer, err := w.site("uhn").everyone.Ask(t.Context(), alice(), aQuestion())
	if got := statuses(answer); err != nil || got != "bcgsc=refused chus=ok:20 uhn=ok:30" {
		t.Errorf("got %s, %v", got, err)
	}
}

// The caller going away reaches every line and every desk, and there is no answer.
func TestCancellingReachesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		uhn := w.site("uhn")
		ended := make(chan trust.SiteName, 3)
		hang := func(site trust.SiteName) func(context.Context, []byte) ([]byte, error) {
			return func(ctx context.Context, m []byte) ([]byte, error) {
				defer func() { ended <- site }()
				return silent(ctx, m)
			}
		}
		uhn.lines["bcgsc"], uhn.lines["chus"] = hang("bcgsc"), hang("chus")
		uhn.self.ask = func(ctx context.Context, _ trust.Caller, _ query.Request) (query.Answer, error) {
			defer func() { ended <- "uhn" }()
			<-ctx.Done()
			return query.Answer{}, ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		given := 0
		if _, err := uhn.everyone.AskEach(ctx, alice(), aQuestion(), func(query.Part) { given++ }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if time.Since(begin) != time.Second || len(ended) != 3 || given != 0 {
			t.Errorf("after %v %d had ended, %d parts were given out", time.Since(begin), len(ended), given)
		}
	})
}

// Also when this site's part had arrived: half an answer is none.
func TestCancellingAfterTheFirstPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		uhn := w.site("uhn")
		uhn.lines["bcgsc"], uhn.lines["chus"] = silent, silent
		ctx, cancel := context.WithCancel(t.Context())
		var given []trust.SiteName
		_, err := uhn.everyone.AskEach(ctx, alice(), aQuestion(), func(p query.Part) {
			given = append(given, p.Site)
			cancel()
		})
		if !errors.Is(err, context.Canceled) || !slices.Equal(given, []trust.SiteName{"uhn"}) {
			t.Errorf("got %v, given out %v", err, given)
		}
	})
}

// A site that stands in its own peer table is asked once, here.
func TestThisSiteIsNotItsOwnPeer(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		others, self := o.Peers, Peer{Site: o.Site, Node: o.Node, MayAsk: true}
		o.Peers = func() []Peer { return append(others(), self) }
	})
	answer, err := w.site("uhn").everyone.Ask(t.Context(), alice(), aQuestion())
	if got := statuses(answer); err != nil || got != "bcgsc=ok:10 chus=ok:20 uhn=ok:30" {
		t.Errorf("got %s, %v", got, err)
	}
	if n := len(w.sent()); n != 2 {
		t.Errorf("%d messages left, want two", n)
	}
}

// The answer must not leave when this site's part could not be recorded; the
// others are told to stop.
func TestAuditFailureOfTheAnswerHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		uhn := w.site("uhn")
		full := errors.New("disk full")
		uhn.self.ask = func(context.Context, trust.Caller, query.Request) (query.Answer, error) {
			time.Sleep(time.Millisecond)
			return query.Answer{}, full
		}
		stopped := 0
		uhn.lines["bcgsc"] = func(ctx context.Context, m []byte) ([]byte, error) {
			defer func() { stopped++ }()
			return silent(ctx, m)
		}
		if _, err := uhn.everyone.Ask(t.Context(), alice(), aQuestion()); !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if stopped != 1 {
			t.Error("the peer was not told")
		}
	})
}

func TestOwnAnswerWithoutOwnPart(t *testing.T) {
	w := newWorld(t)
	w.site("uhn").self.ask = func(context.Context, trust.Caller, query.Request) (query.Answer, error) { return query.Answer{}, nil }
	if _, err := w.site("uhn").everyone.Ask(t.Context(), alice(), aQuestion()); err == nil {
		t.Error("an answer without this site's part")
	}
}

// No byte leaves before the forwarding is durable, and none if it cannot be.
func TestNothingLeavesBeforeItIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		uhn := w.site("uhn")
		first := true // the receipts are recorded when all is over
		uhn.log.wait = func(context.Context) {
			time.Sleep(20 * time.Millisecond) // a slow disk
			synctest.Wait()
			if !first {
				return
			}
			first = false
			if n := len(w.sent()); n != 0 {
				t.Errorf("%d messages left before the record was durable", n)
			}
			if len(uhn.self.asked()) != 1 {
				t.Error("this site's own answer waited for the record")
			}
		}
		if _, err := uhn.everyone.Ask(t.Context(), alice(), aQuestion()); err != nil {
			t.Fatal(err)
		}
		if n := len(w.sent()); n != 2 {
			t.Errorf("%d messages left", n)
		}

		w = newWorld(t)
		uhn = w.site("uhn")
		uhn.log.fail = errors.New("disk full")
		_, err := uhn.everyone.Ask(t.Context(), alice(), aQuestion())
		synctest.Wait()
		if !errors.Is(err, ErrNotRecorded) || !errors.Is(err, uhn.log.fail) || len(w.sent()) != 0 {
			t.Errorf("got %v, and %d messages left", err, len(w.sent()))
		}

		// A store that hangs until the deadline.
		w = newWorld(t)
		uhn = w.site("uhn")
		uhn.log.wait = func(ctx context.Context) { <-ctx.Done() }
		_, err = uhn.everyone.Ask(t.Context(), alice(), aQuestion())
		synctest.Wait()
		if !errors.Is(err, ErrNotRecorded) || len(w.sent()) != 0 {
			t.Errorf("got %v, and %d messages left", err, len(w.sent()))
		}
	})
}

// A target that cannot record its decision gives no data.
func TestAuditFailureAtATarget(t *testing.T) {
	w := newWorld(t)
	w.site("bcgsc").self.ask = func(context.Context, trust.Caller, query.Request) (query.Answer, error) {
		return query.Answer{}, errors.New("disk full")
	}
	answer, err := w.site("uhn").everyone.Ask(t.Context(), alice(), aQuestion())
	if got := statuses(answer); err != nil || got != "bcgsc=refused chus=ok:20 uhn=ok:30" {
		t.Errorf("got %s, %v", got, err)
	}
}

// Whatever order the parts arrive in, and however they are joined, the answer
// is the same.
func TestJoinDoesNotDependOnArrival(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		delay := map[trust.SiteName]time.Duration{}
		status := map[trust.SiteName]query.Status{}
		for _, site := range []trust.SiteName{"bcgsc", "chus", "uhn"} {
			delay[site] = time.Duration(rapid.IntRange(0, 3).Draw(rt, "delay")) * time.Millisecond
			status[site] = rapid.SampledFrom([]query.Status{query.OK, query.Denied, query.Nothing, query.Timeout}).Draw(rt, "status")
		}
		ask := func(delay map[trust.SiteName]time.Duration) (whole query.Answer, parts []query.Part) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t) // its clock stands, so that only the order differs
				for _, h := range w.sites {
					h.self.ask = func(_ context.Context, _ trust.Caller, r query.Request) (query.Answer, error) {
						time.Sleep(delay[h.name])
						if s := status[h.name]; s != query.OK {
							return query.Answer{Parts: []query.Part{failed(h.name, h.node, s, string(s))}}, nil
						}
						return h.self.answer(r), nil
					}
				}
				var err error
				whole, err = w.site("uhn").everyone.AskEach(t.Context(), alice(), aQuestion(), func(p query.Part) { parts = append(parts, p) })
				if err != nil {
					t.Fatal(err)
				}
			})
			return whole, parts
		}
		whole, parts := ask(delay)
		again, _ := ask(map[trust.SiteName]time.Duration{})
		if !reflect.DeepEqual(whole, again) {
			rt.Fatalf("in one order %+v\nin another  %+v", whole, again)
		}
		parts = rapid.Permutation(parts).Draw(rt, "order")
		joined := query.Answer{Transaction: whole.Transaction, Granularity: whole.Granularity}
		for _, p := range append(parts, parts[0]) {
			joined = joined.Join(query.Answer{Parts: []query.Part{p}})
		}
		if !reflect.DeepEqual(joined, whole) {
			rt.Fatalf("joined %+v\nwant   %+v", joined, whole)
		}
	})
}
