package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

const idp = "https://idp.example.org/"

func revokePerson(id, subject string) trust.Revocation {
	return trust.Revocation{ID: id, Kind: trust.RevokeIdentity, Issuer: idp, Subject: subject, Created: time.Unix(1_760_000_000, 0).UTC()}
}

// row 62: there is a way to withdraw access at once, with an audit entry, and it
// outlives a restart.
func TestARevocationIsSeenAtOnceAndSurvives(t *testing.T) {
	path := statePath(t)
	s := open(t, path, Options{})
	ctx := t.Context()
	token := trust.DigestOfString("a token that leaked")
	all := []trust.Revocation{
		revokePerson("r1", "mallory"),
		{ID: "r2", Kind: trust.RevokeJTI, JTI: "j-1", Why: "left on a train"},
		{ID: "r3", Kind: trust.RevokeToken, Token: token},
		{ID: "r4", Kind: trust.RevokeKey, Key: "thumbprint"},
		{ID: "r5", Kind: trust.RevokeIssuer, Issuer: "https://gone.example.org"},
	}
	before := s.Revocations()
	for i, r := range all {
		if err := s.AddRevocation(ctx, r, note("revoked "+r.ID)); err != nil {
			t.Fatal(err)
		}
		if got := s.Revocations().Revision(); got != uint64(i+1) {
			t.Errorf("after %d changes the revision is %d", i+1, got)
		}
	}
	check := func(s *Store) {
		t.Helper()
		r := s.Revocations()
		if !r.Identity(trust.Identity{Issuer: idp, Subject: "mallory"}) || !r.JTI(idp, "j-1") || !r.Token(token) ||
			!r.Key("thumbprint") || !r.Issuer("https://gone.example.org") {
			t.Errorf("something is not revoked: %+v", r)
		}
		if r.Identity(trust.Identity{Issuer: idp, Subject: "alice"}) || r.JTI(idp, "j-2") || r.Key("other") || r.Issuer(idp) {
			t.Errorf("too much is revoked: %+v", r)
		}
		if listed, err := s.AllRevocations(ctx); err != nil || !slices.Equal(listed, all) {
			t.Errorf("listed %v, %v", listed, err)
		}
	}
	check(s)
	if before.Identity(trust.Identity{Issuer: idp, Subject: "mallory"}) {
		t.Error("a picture that somebody holds changed")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	check(s)
	if back, err := s.RemoveRevocation(ctx, "r1", note("removed r1")); err != nil || back != all[0] {
		t.Errorf("removed %v, %v", back, err)
	}
	if s.Revocations().Identity(trust.Identity{Issuer: idp, Subject: "mallory"}) {
		t.Error("a revocation that was removed still holds")
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"revoked r1", "revoked r2", "revoked r3", "revoked r4", "revoked r5", "removed r1"}) {
		t.Errorf("log %v", got)
	}
}

// row 62: what is not there is not taken back, and what names nothing is refused.
func TestRevocationsThatAreRefused(t *testing.T) {
	s := open(t, statePath(t), Options{})
	ctx := t.Context()
	if err := s.AddRevocation(ctx, revokePerson("r1", "mallory"), note("first")); err != nil {
		t.Fatal(err)
	}
	if err := s.AddRevocation(ctx, revokePerson("r1", "eve"), note("second")); !errors.Is(err, ErrExists) {
		t.Errorf("error %v", err)
	}
	if _, err := s.RemoveRevocation(ctx, "none", note("none")); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
	for what, r := range map[string]trust.Revocation{
		"no id":               {Kind: trust.RevokeIssuer, Issuer: idp},
		"a long id":           {ID: strings.Repeat("x", maxID+1), Kind: trust.RevokeIssuer, Issuer: idp},
		"a subject alone":     {ID: "x", Kind: trust.RevokeIdentity, Subject: "42"},
		"an issuer as person": {ID: "x", Kind: trust.RevokeIdentity, Issuer: idp},
		"no jti":              {ID: "x", Kind: trust.RevokeJTI, Issuer: idp},
		"no token":            {ID: "x", Kind: trust.RevokeToken},
		"no key":              {ID: "x", Kind: trust.RevokeKey},
		"no issuer":           {ID: "x", Kind: trust.RevokeIssuer},
		"an unknown kind":     {ID: "x", Kind: "everything", Issuer: idp},
		"a huge reason":       {ID: "x", Kind: trust.RevokeIssuer, Issuer: idp, Why: strings.Repeat("y", maxRevocation)},
		"a token as jti":      {ID: "x", Kind: trust.RevokeJTI, JTI: aToken},
	} {
		if err := s.AddRevocation(ctx, r, note(what)); !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), aToken[:20]) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if r := s.Revocations(); r.Revision() != 1 || r.Identity(trust.Identity{Issuer: idp, Subject: "eve"}) {
		t.Errorf("a refused change counted: %+v", r)
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"first"}) {
		t.Errorf("log %v", got)
	}
}

// Verdicts are remembered under the revision: one that came back would bring back
// a verdict from before the revocation.
func TestARevisionOfRevocationsIsNeverUsedAgain(t *testing.T) {
	path := statePath(t)
	seen := map[uint64]bool{}
	for round := range 3 {
		s := open(t, path, Options{})
		for i := range 4 {
			id := fmt.Sprint(round, "/", i)
			if err := s.AddRevocation(t.Context(), revokePerson(id, id), note("add")); err != nil {
				t.Fatal(err)
			}
			if r := s.Revocations().Revision(); seen[r] {
				t.Fatalf("revision %d came back", r)
			} else {
				seen[r] = true
			}
			if _, err := s.RemoveRevocation(t.Context(), id, note("remove")); err != nil {
				t.Fatal(err)
			}
			seen[s.Revocations().Revision()] = true
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 24 {
		t.Errorf("%d revisions for 24 changes", len(seen))
	}
}

// Many at once share transactions, and none is overlooked.
func TestRevocationsOfManyAtOnce(t *testing.T) {
	s := open(t, statePath(t), Options{})
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			id := fmt.Sprint("r", i)
			if err := s.AddRevocation(t.Context(), revokePerson(id, id), note("add")); err != nil {
				t.Error(err)
			}
			if !s.Revocations().Identity(trust.Identity{Issuer: idp, Subject: id}) {
				t.Errorf("%s was acknowledged and is not revoked", id)
			}
		})
	}
	wg.Wait()
	if r := s.Revocations().Revision(); r != 200 {
		t.Errorf("revision %d", r)
	}
}

// A disk that refuses revokes nothing, and says so: what memory shows is on the
// disk.
func TestARevocationThatIsNotDurableDoesNotHold(t *testing.T) {
	g := newGate()
	s := open(t, statePath(t), Options{update: g.update})
	full := errors.New("no space left on device")
	g.fail.Store(&full)
	err := s.AddRevocation(t.Context(), revokePerson("r1", "mallory"), note("add"))
	if !errors.Is(err, ErrUnavailable) || s.Revocations().Revision() != 0 || len(s.revoked) != 0 {
		t.Errorf("%v, %+v", err, s.Revocations())
	}
	g.fail.Store(nil)
	if err := s.AddRevocation(t.Context(), revokePerson("r1", "mallory"), note("add")); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedRevocationKeepsTheNodeFromStarting(t *testing.T) {
	for what, value := range map[string]string{"no JSON": "{", "names nothing": `{"id":"r1","kind":"identity"}`, "unknown kind": `{"kind":"x"}`} {
		path := statePath(t)
		if err := open(t, path, Options{}).Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket(bucketRevocations).Put([]byte("r1"), []byte(value)) })
		if _, err := Open(path, Options{}); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", what, err)
		}
	}
	path := statePath(t)
	if err := open(t, path, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyRevocations, []byte("odd")) })
	if _, err := Open(path, Options{}); !errors.Is(err, ErrForeign) {
		t.Errorf("a damaged count: %v", err)
	}
}

const aToken = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLm9yZy8iLCJzdWIiOiI0MiJ9.c2lnbmF0dXJlIG9mIGl0"

// passports.md, row 64: with one of everything stored, the file holds no token;
// and what would put one there is refused.
func TestNothingThatIsKeptLooksLikeAToken(t *testing.T) {
	path := statePath(t)
	s := open(t, path, Options{Now: func() time.Time { return noon }})
	ctx := t.Context()
	visa := trust.DigestOfString(aToken)
	for what, err := range map[string]error{
		"revocation": s.AddRevocation(ctx, trust.Revocation{ID: "r", Kind: trust.RevokeToken, Token: visa}, note("r")),
		"link":       s.KeepLinks(ctx, []trust.Link{link(1, 2, noon.Add(time.Hour))}, note("l")),
		"poll":       s.SavePoll(ctx, visa, access.Poll{Identity: person(1), Expires: noon.Add(time.Hour), Detail: "confirmed"}, note("p")),
		"session":    s.AddSession(ctx, session(1, 1), note("s")),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	leaky := session(2, 2)
	leaky.Sealed = []byte(aToken) // somebody forgot to encrypt
	labelled := session(3, 3)
	labelled.Label = aToken
	linked := link(1, 3, noon)
	linked.Source = aToken
	for what, err := range map[string]error{
		"sealed": s.AddSession(ctx, leaky, note("x")), "label": s.AddSession(ctx, labelled, note("x")),
		"again": s.ReplaceSealed(ctx, session(1, 1).ID, []byte("{"+aToken), noon.Add(time.Hour)),
		"link":  s.KeepLinks(ctx, []trust.Link{linked}, note("x")),
		"poll":  s.SavePoll(ctx, visa, access.Poll{Identity: person(1), Expires: noon.Add(time.Hour), Detail: aToken}, note("x")),
		"why":   s.AddRevocation(ctx, trust.Revocation{ID: "y", Kind: trust.RevokeIssuer, Issuer: idp, Why: aToken}, note("x")),
	} {
		if !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), aToken[:20]) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if at := bytes.Index(data, []byte("eyJ")); at >= 0 {
		t.Errorf("the file holds %q", data[at:at+20])
	}
	for _, there := range []string{`"label":"curl"`, `"source":"https://broker`, `"detail":"confirmed"`, `"kind":"token"`, "\x01sealed"} {
		if !bytes.Contains(data, []byte(there)) {
			t.Errorf("%q is not in the file: the search would find nothing", there)
		}
	}
}
