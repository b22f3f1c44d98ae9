package federation

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

const (
	broker = "https://idp.example.org/"
	dac    = "https://dac.example.org/"
)

// controlled is a site that reads grants of one committee for one dataset.
func controlled() Needs {
	return Needs{
		Open: []string{"open"}, Closed: true, Passports: []string{broker}, VisaIssuers: []string{dac, broker},
		Visas: []VisaNeed{{Type: trust.VisaControlledAccessGrants, Value: trust.DigestOfString("https://data.example.org/here")}},
	}
}

func telling(needs map[trust.SiteName]Needs) func(*Options) {
	return func(o *Options) {
		o.Needs = func(p Peer) (*Needs, bool) {
			n, told := needs[p.Site]
			return &n, told
		}
	}
}

func aVisa(name, issuer, kind, value string) (trust.Visa, string) {
	compact := "visa-" + name
	return trust.Visa{
		Identity: trust.Identity{Issuer: issuer, Subject: "alice"}, Type: kind, Value: value, Digest: trust.DigestOfString(compact),
	}, compact
}

// holding is a passport, signed by nobody, with visas in it.
func holding(issuer string, visas ...string) trust.Passport {
	payload, _ := json.Marshal(map[string]any{"iss": issuer, "sub": "alice", "ga4gh_passport_v1": visas})
	part := base64.RawURLEncoding.EncodeToString
	return trust.NewPassport(part([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + part(payload) + "." + part(make([]byte, 64)))
}

// Invariant 20, NoLeak, byte by byte: what a site has no need of is on no connection to it.
func TestNoLeak(t *testing.T) {
	here, hereBytes := aVisa("here", dac, trust.VisaControlledAccessGrants, "https://data.example.org/here")
	there, thereBytes := aVisa("there", dac, trust.VisaControlledAccessGrants, "https://data.example.org/there")
	first, second, third := holding(broker), holding(broker, hereBytes), holding(broker, thereBytes)
	caller := trust.Caller{
		Identity: trust.Identity{Issuer: broker, Subject: "alice"}, Visas: []trust.Visa{here, there},
		Passports: []trust.Passport{first, second, third},
	}
	open := aQuestion()
	open.Datasets = []string{"open"}
	for name, one := range map[string]struct {
		request  query.Request
		needs    Needs
		disclose Disclosure
		caller   trust.Caller
		want     []trust.Passport // nil: a question without a caller
		refused  bool
	}{
		"a public count question":               {request: open, needs: controlled(), caller: caller},
		"a site with nothing but open datasets": {request: aQuestion(), needs: Needs{Passports: []string{}, VisaIssuers: []string{}}, caller: caller},
		"a visa for a dataset elsewhere":        {request: aQuestion(), needs: controlled(), caller: caller, want: []trust.Passport{first, second}},
		"a visa of a stranger": {request: aQuestion(), needs: func() Needs {
			n := controlled()
			n.VisaIssuers = nil
			return n
		}(), caller: caller, want: []trust.Passport{first}},
		"a passport that would be refused":        {request: aQuestion(), needs: Needs{Closed: true}, caller: caller, refused: true},
		"a peer that may be told nothing":         {request: aQuestion(), needs: controlled(), disclose: DiscloseNothing, caller: caller, refused: true},
		"a passport with an access token in it":   {request: aQuestion(), needs: controlled(), caller: staying(caller, first), refused: true},
		"a further one with an access token":      {request: aQuestion(), needs: controlled(), caller: staying(caller, second), want: []trust.Passport{first}},
		"an open question with an access token":   {request: open, needs: controlled(), caller: staying(caller, first)},
		"a peer that may be told nothing, openly": {request: open, needs: controlled(), disclose: DiscloseNothing, caller: caller},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, telling(map[trust.SiteName]Needs{"bcgsc": one.needs, "chus": one.needs}))
			w.site("uhn").disclose = one.disclose
			for _, h := range w.sites {
				h.trusts(one.caller)
			}
			answer, err := w.site("uhn").everyone.Ask(t.Context(), one.caller, one.request)
			if err != nil {
				t.Fatal(err)
			}
			if one.refused {
				if len(w.sent()) != 0 || !strings.Contains(statuses(answer), "chus=refused") {
					t.Fatalf("%s with %d messages", statuses(answer), len(w.sent()))
				}
				return
			}
			if len(w.sent()) != 2 {
				t.Fatalf("%s, %d messages", statuses(answer), len(w.sent()))
			}
			for _, s := range w.sent() {
				for _, p := range one.caller.Passports {
					wanted := slices.ContainsFunc(one.want, func(q trust.Passport) bool { return p.Digest() == q.Digest() })
					if wanted != bytes.Contains(s.message, []byte(p.Compact())) {
						t.Errorf("%s at %s: %t", p, s.to, !wanted)
					}
				}
				m, err := parseMessage(s.message)
				if err != nil {
					t.Fatal(err)
				}
				payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(string(m.assertion), ".")[1])
				if one.want == nil && (bytes.Contains(payload, []byte("alice")) || bytes.Contains(payload, []byte(`"caller"`))) {
					t.Errorf("a subject went to %s: %s", s.to, payload)
				}
				for _, c := range w.site(s.to).self.asked() {
					if c.Anonymous() != (one.want == nil) {
						t.Errorf("%s was asked by %+v", s.to, c.Identity)
					}
				}
			}
		})
	}
}

func staying(c trust.Caller, p trust.Passport) trust.Caller {
	c.Stays = []trust.Digest{p.Digest()}
	return c
}

// trusts has a hospital take whatever passports as the caller's.
func (h *hospital) trusts(c trust.Caller) {
	h.receiver.o.Authenticate = func(_ context.Context, passports []string, origin trust.SiteName) (trust.Caller, error) {
		if len(passports) == 0 || origin == "" {
			return trust.Caller{}, errors.New("nobody vouches")
		}
		return trust.Caller{Identity: c.Identity}, nil
	}
}

// A peer that says nothing of its needs is one of an older version: the operator says what
// it is told. An announced peer gets nothing then, and no broker is asked either.
func TestAPeerThatSaysNothing(t *testing.T) {
	for disclose, want := range map[Disclosure]string{"": "chus=ok", DiscloseWhole: "chus=ok", DiscloseAnnounced: "chus=refused", DiscloseNothing: "chus=refused"} {
		var asked atomic.Int64 // peers are asked at once
		w := newWorld(t, telling(nil), travelling(func(ctx context.Context, c trust.Caller, p Peer, txn string) (Travel, error) {
			asked.Add(1)
			return made(ctx, c, p, txn)
		}))
		w.site("uhn").disclose = disclose
		for _, c := range []trust.Caller{alice(), signedIn()} {
			answer, err := w.site("uhn").everyone.Ask(t.Context(), c, aQuestion())
			if err != nil || !strings.Contains(statuses(answer), want) {
				t.Errorf("%q: %s, %v", disclose, statuses(answer), err)
			}
		}
		if refused := want == "chus=refused"; refused != (len(w.sent()) == 0) || refused && (asked.Load() > 0 || len(w.site("uhn").log.of(audit.EventForward)) > 0) {
			t.Errorf("%q: %d messages, %d passports made", disclose, len(w.sent()), asked.Load())
		}
	}
}

// What is made for a target alone is made of what the target needs, and a public question
// has nothing made for it.
func TestAPassportForATargetHoldsWhatItNeeds(t *testing.T) {
	here, _ := aVisa("here", dac, trust.VisaControlledAccessGrants, "https://data.example.org/here")
	there, _ := aVisa("there", dac, trust.VisaControlledAccessGrants, "https://data.example.org/there")
	needs := controlled()
	needs.Passports = []string{"https://broker.example.org"}
	var given []trust.Visa
	w := newWorld(t, telling(map[trust.SiteName]Needs{"bcgsc": {Passports: []string{}, VisaIssuers: []string{}}, "chus": needs}),
		travelling(func(ctx context.Context, c trust.Caller, p Peer, txn string) (Travel, error) {
			if p.Site != "chus" {
				t.Errorf("a passport was made for %s", p.Site)
			}
			given = c.Visas
			return made(ctx, c, p, txn)
		}))
	c := signedIn()
	c.Visas = []trust.Visa{here, there}
	if answer, err := w.site("uhn").everyone.Ask(t.Context(), c, aQuestion()); err != nil || !answer.Complete() {
		t.Fatal(statuses(answer), err)
	}
	if len(given) != 1 || given[0].Digest != here.Digest {
		t.Errorf("made of %+v", given)
	}
	for _, s := range w.sent() {
		if s.to == "bcgsc" && bytes.Contains(s.message, []byte("a-1")) {
			t.Error("bcgsc was told who asks")
		}
	}
}

// A passport of an issuer that the target does not take is not shown to it.
func TestAPassportThatWouldBeRefusedIsNotShown(t *testing.T) {
	w := newWorld(t, telling(map[trust.SiteName]Needs{"bcgsc": controlled(), "chus": controlled()}), travelling(made))
	answer, err := w.site("uhn").everyone.Ask(t.Context(), signedIn(), aQuestion())
	if err != nil || len(w.sent()) != 0 || !strings.Contains(statuses(answer), "bcgsc=refused") {
		t.Errorf("%s, %v, %d messages", statuses(answer), err, len(w.sent()))
	}
}

// Choose: what the rules read, what conditions rest on, and links between names that travel.
func TestChoose(t *testing.T) {
	at := func(issuer string) trust.Identity { return trust.Identity{Issuer: issuer, Subject: "alice"} }
	here, _ := aVisa("here", dac, trust.VisaControlledAccessGrants, "https://data.example.org/here")
	role, _ := aVisa("role", broker, trust.VisaAffiliationAndRole, "faculty@example.org")
	idle, _ := aVisa("idle", dac, trust.VisaAffiliationAndRole, "student@example.org")
	link, _ := aVisa("link", broker, trust.VisaLinkedIdentities, "dac")
	stray, _ := aVisa("stray", broker, trust.VisaLinkedIdentities, "hobby")
	far, _ := aVisa("far", "https://far.example.org/", trust.VisaControlledAccessGrants, "https://data.example.org/here")
	hop, _ := aVisa("hop", broker, trust.VisaLinkedIdentities, "middle")
	on, _ := aVisa("on", "https://middle.example.org/", trust.VisaLinkedIdentities, "dac")
	c := trust.Caller{
		Identity: at(broker), Visas: []trust.Visa{here, role, idle, link, stray, far, hop, on},
		Supports: map[trust.Digest][]trust.Digest{here.Digest: {role.Digest, link.Digest}, idle.Digest: {far.Digest}},
		Links: []trust.Link{
			{A: at(broker), B: at(dac), Visa: link.Digest},
			{A: at(broker), B: at("https://hobby.example.org/"), Visa: stray.Digest},
			{A: at(broker), B: at("https://middle.example.org/"), Visa: hop.Digest},
			{A: at("https://middle.example.org/"), B: at(dac), Visa: on.Digest},
		},
	}
	names := func(visas []trust.Visa) (all string) {
		for _, v := range visas {
			for name, d := range map[string]trust.Digest{"here": here.Digest, "role": role.Digest, "idle": idle.Digest, "link": link.Digest,
				"stray": stray.Digest, "far": far.Digest, "hop": hop.Digest, "on": on.Digest} {
				if d == v.Digest {
					all += name + " "
				}
			}
		}
		return strings.TrimSpace(all)
	}
	for want, bend := range map[string]func(*Needs){
		"here role": func(*Needs) {},
		"here role link": func(n *Needs) {
			n.Links = []LinkNeed{{Issuer: broker, For: []string{dac, "https://hobby.example.org/"}}}
		},
		"here role hop on": func(n *Needs) {
			n.Links = []LinkNeed{{Issuer: broker, For: []string{"https://middle.example.org/"}}, {Issuer: "https://middle.example.org/", For: []string{dac}}}
		},
		"": func(n *Needs) { n.Visas = nil },
		"here idle": func(n *Needs) {
			n.VisaIssuers = []string{dac}
			n.Visas = []VisaNeed{{Type: trust.VisaControlledAccessGrants}, {Type: trust.VisaAffiliationAndRole}}
		},
		"far": func(n *Needs) {
			n.VisaIssuers = append(n.VisaIssuers, far.Issuer)
			n.Visas = []VisaNeed{{Type: trust.VisaControlledAccessGrants, Issuers: []string{far.Issuer}}}
		},
	} {
		n := controlled()
		bend(&n)
		if got := names(n.Choose(c)); got != want {
			t.Errorf("chosen %q, want %q", got, want)
		}
	}
}

// A peer's word holds for five minutes, is asked for once a minute, and ends when the peer is gone.
func TestAnnounced(t *testing.T) {
	var a Announced
	said, err := controlled().Encode()
	if err != nil {
		t.Fatal(err)
	}
	since := start.Add(-time.Hour)
	if !a.Due("n", since, start) || a.Due("n", since, start.Add(needsEvery-1)) || !a.Due("n", since, start.Add(needsEvery)) {
		t.Error("asked too often or too seldom")
	}
	if !a.Due("m", start, start) || !a.Due("m", start.Add(1), start.Add(2)) || a.Due("m", start.Add(1), start.Add(3)) {
		t.Error("a peer that came back is not asked once")
	}
	if err := a.Learn("n", said, start); err != nil {
		t.Fatal(err)
	}
	if n, told := a.Of("n", start.Add(needsLife-1)); !told || !n.Takes(broker) {
		t.Error("forgotten too early")
	}
	for at, what := range map[time.Time]string{start.Add(needsLife): "old", start.Add(-1): "from the future"} {
		if _, told := a.Of("n", at); told {
			t.Errorf("believed although %s", what)
		}
	}
	if a.Learn("n", []byte("{}"), start) == nil {
		t.Error("an empty document is a word")
	}
	a.Unsaid("n")
	if _, told := a.Of("n", start); told {
		t.Error("a peer that says nothing any more is remembered")
	}
	_ = a.Learn("n", said, start)
	a.Keep(nil)
	if _, told := a.Of("n", start); told {
		t.Error("a peer that is gone is remembered")
	}
}

// A site that needs more than fits asks for any value, never for less than it needs.
func TestNeedsThatDoNotFit(t *testing.T) {
	n := controlled()
	for i := range maxNeeded {
		n.Visas = append(n.Visas, VisaNeed{Type: trust.VisaControlledAccessGrants, Value: trust.DigestOfString(fmt.Sprint(i))})
	}
	for i := range query.MaxDatasets {
		n.Open = append(n.Open, fmt.Sprintf("open-%d", i))
	}
	b, err := n.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseNeeds(b)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := aVisa("x", dac, trust.VisaControlledAccessGrants, "anything")
	if !got.Wants(v) || !got.Closed || got.Nobody(query.Request{Granularity: query.Count}) {
		t.Errorf("%+v", got)
	}
}

// Whatever a peer says that it needs is read within bounds, or not at all, and never makes a
// question with records one that needs nobody.
func FuzzNeeds(f *testing.F) {
	b, err := controlled().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"passports":[],"visa_issuers":[],"newer":1}`))
	f.Add([]byte(`{"open":["a","a"],"passports":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseNeeds(b)
		if err != nil {
			if !errors.Is(err, ErrNeeds) {
				t.Fatal(err)
			}
			return
		}
		if n.Nobody(query.Request{Granularity: query.Record}) || len(n.Visas) > maxNeeded {
			t.Fatalf("%q: %+v", b, n)
		}
		if len(n.Choose(alice())) > 0 {
			t.Fatal("chosen out of nothing")
		}
	})
}
