package passport

import (
	"fmt"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// revoked is the world's verifier at a site that revoked the committee's researcher,
// and has these links in store.
func (w *world) revoked(kept ...trust.Link) *Verifier {
	revoked := trust.NewRevocations(1, []trust.Revocation{{Kind: trust.RevokeIdentity, Issuer: dacURL, Subject: atDAC.Subject}})
	options := w.verifier.options
	options.Revoked = func() *trust.Revocations { return revoked }
	options.KnownLinks = func(id trust.Identity) (links []trust.Link) {
		for _, l := range kept {
			if l.A == id || l.B == id {
				links = append(links, l)
			}
		}
		return links
	}
	return New(options)
}

func (w *world) linksOf(t *testing.T, visas ...string) []trust.Link {
	t.Helper()
	verdict, err := w.verify(w.passport(visas...))
	if err != nil || len(verdict.Caller.Links) == 0 {
		t.Fatal(err, verdict.Caller.Links)
	}
	return verdict.Caller.Links
}

// Rows 6 and 62: a revoked person is not let in behind a friend's passport either,
// under whatever name: one passport that is no good refuses the request.
func TestARevokedPersonBehindAFriend(t *testing.T) {
	w := newJoined(t)
	kept := w.linksOf(t, w.link(nil, "researcher", atDAC))
	friend := w.broker.Passport(passporttest.PassportClaims{Subject: "friend", Visas: []string{}, IssuedAt: now.Add(-time.Minute), Expires: now.Add(time.Hour)})
	revoked := w.passport(w.affiliation())
	for name, c := range map[string]struct {
		passports []string
		refused   int // place of the refused one, -1 for none
	}{
		"alone":             {[]string{revoked}, 0},
		"behind a friend":   {[]string{friend, revoked}, 1},
		"before a friend":   {[]string{revoked, friend}, 0},
		"the friend, alone": {[]string{friend}, -1},
	} {
		_, err := w.revoked(kept...).Verify(t.Context(), Request{Passports: c.passports, Now: now})
		if c.refused < 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		refusal, ok := err.(*Refusal)
		if !ok || refusal.Reason != trust.ReasonRevoked || refusal.Index != c.refused || refusal.Set {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Row 62: nobody gets rid of a link to a revoked name by showing so many others that
// it has no place among those of the request.
func TestARevokedPersonBehindManyLinks(t *testing.T) {
	w := newJoined(t)
	kept := w.linksOf(t, w.link(nil, "researcher", atDAC))
	var same, others []string
	for i := range 12 {
		// The same links again and again: each sign-in gives a new visa.
		var again, pairs []trust.Identity
		for k := range maxPairs {
			again = append(again, trust.Identity{Issuer: dacURL, Subject: fmt.Sprint(k)})
			pairs = append(pairs, trust.Identity{Issuer: dacURL, Subject: fmt.Sprint(i, "-", k)})
		}
		later := func(v *passporttest.VisaClaims) { v.Expires = now.Add(time.Duration(i+1) * time.Minute) }
		same, others = append(same, w.link(later, "researcher", again...)), append(others, w.link(later, "researcher", pairs...))
	}
	for name, c := range map[string]struct {
		visas []string
		kept  []trust.Link
		want  trust.Reason
	}{
		"the same links":                  {same, kept, trust.ReasonRevoked},
		"different links":                 {others, kept, trust.ReasonTooMany},
		"different links, the name last":  {append(others[:len(others):len(others)], w.link(nil, "researcher", atDAC)), nil, trust.ReasonTooMany},
		"the same links of somebody else": {same, nil, ""},
	} {
		verdict, err := w.revoked(c.kept...).Verify(t.Context(), Request{Passports: []string{w.passport(c.visas...)}, Now: now})
		if got := reasonOf(t, err); got != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if c.want == "" {
			for _, l := range verdict.Caller.Linked {
				if want := now.Add(12 * time.Minute); !l.Until.Equal(want) {
					t.Errorf("%s: %v until %v, not with the last of its links", name, l.Identity, l.Until)
				}
			}
			if len(verdict.Caller.Linked) != maxPairs {
				t.Errorf("%s: %d linked", name, len(verdict.Caller.Linked))
			}
		}
	}
	// Where nobody is revoked, too many links are merely not used.
	if _, err := w.verify(w.passport(others...)); err != nil {
		t.Error(err)
	}
}
