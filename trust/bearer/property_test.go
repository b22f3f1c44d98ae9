package bearer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// candidates are tokens of several people at several issuers, good and bad.
func (w *world) candidates() map[string]string {
	all := map[string]string{"opaque": "opaque-ann", "opaque of bob": "opaque-bob", "rubbish": "two words", "session": "cgs_x"}
	for _, issuer := range []string{brokerURL, providerURL, introURL, universityURL, strangerURL} {
		for _, subject := range []string{"ann", "bob", "refused", "down"} {
			all[issuer+" "+subject] = w.token(issuer, func(c *passporttest.AccessTokenClaims) { c.Subject, c.ID = subject, subject })
			all[issuer+" bound "+subject] = w.token(issuer, func(c *passporttest.AccessTokenClaims) {
				c.Subject, c.Confirmation = subject, trust.Confirmation{JKT: "key"}
			})
		}
		all[issuer+" expired"] = w.token(issuer, func(c *passporttest.AccessTokenClaims) { c.Subject, c.Expires = "ann", now })
	}
	return all
}

// speaks lets every issuer answer about the token that it is asked about, and about no
// other.
func (w *world) speaks(names map[string]string) {
	who := func(token string) (string, error) {
		words := strings.FieldsFunc(names[token], func(r rune) bool { return r == ' ' || r == '-' })
		subject := words[len(words)-1]
		switch subject {
		case "refused":
			return "", bearer.ErrRefused
		case "down":
			return "", bearer.ErrUnavailable
		case "opaque":
			return "ann", nil
		}
		return subject, nil
	}
	grants := map[string]string{}
	for _, subject := range []string{"ann", "bob"} {
		grants[subject] = w.grants(passporttest.Claims{"grants": []string{"grant of " + subject}})
	}
	w.userInfo = func(_ context.Context, issuer, token string) (bearer.Document, error) {
		subject, err := who(token)
		if err != nil {
			return bearer.Document{}, err
		}
		return answer(object{
			"sub": subject, "ga4gh_passport_v1": []string{issuer + " visa of " + subject}, "_claim_names": object{"grants": "s"},
			"_claim_sources": object{"s": object{"JWT": grants[subject]}},
		})
	}
	w.introspect = func(_ context.Context, issuer, token string) (bearer.Document, error) {
		subject, err := who(token)
		if err != nil {
			return bearer.Document{}, err
		}
		return answer(object{"active": true, "sub": subject, "iss": issuer})
	}
	w.exchange = func(_ context.Context, issuer, token, resource string) (bearer.Exchanged, error) {
		subject, err := who(token)
		if err != nil {
			return bearer.Exchanged{}, err
		}
		return bearer.Exchanged{Passport: issuer + " passport of " + subject + " for " + resource, IssuedTokenType: passportURN, TokenType: "Bearer"}, nil
	}
}

// outline is all that credentials say, and the reason of a refusal.
func outline(c bearer.Credentials, err error) string {
	kind := "good"
	switch {
	case errors.Is(err, bearer.ErrUnavailable):
		kind = "unavailable"
	case err != nil:
		kind = err.Error()
		if refusal, ok := errors.AsType[*passport.Refusal](err); ok {
			kind = fmt.Sprint(refusal.Reason, refusal.Index)
		}
	}
	text := fmt.Sprintf("%s %v %s %v", kind, c.Identity, c.Issuer, c.Passports)
	for _, set := range c.Sets {
		text += fmt.Sprintf(" %s of %v:", set.Via, set.Identity)
		for _, visa := range set.Visas {
			text += visa.Compact() + ";"
		}
	}
	return text
}

// Row 61: whatever tokens were shown before, in whatever order and by whomever, what a
// token yields is what it yields to a desk that never saw any; and nothing in it is of
// anybody else.
func TestNoTokenChangesAnother(t *testing.T) {
	w := newWorld(t)
	candidates := w.candidates()
	names := slices.Sorted(maps.Keys(candidates))
	inverse := map[string]string{}
	for name, token := range candidates {
		inverse[token] = name
	}
	w.speaks(inverse)
	options := bearer.Options{View: w.currentView, Revoked: w.currentRevoked, Provider: w, Tokens: w.verifier.Token, Names: []string{node}}
	fresh := map[string]string{}
	rapid.Check(t, func(t *rapid.T) {
		options.CacheEntries = rapid.IntRange(1, 8).Draw(t, "entries")
		desk := bearer.New(options)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "token")
			p := bearer.Presented{Token: trust.NewAccessToken(candidates[name]), Login: rapid.Bool().Draw(t, "login")}
			p.Proven.JKT = rapid.SampledFrom([]string{"", "key", "other"}).Draw(t, "proof")
			at := now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
			if rapid.IntRange(0, 4).Draw(t, "peer") == 0 {
				compact, err := desk.PassportFor(context.Background(), p.Token, peer, at)
				if err == nil && !strings.HasSuffix(compact, "passport of "+last(name)+" for "+peer) {
					t.Fatalf("%s got %q for a peer", name, compact)
				}
				continue
			}
			got := outline(desk.Credentials(context.Background(), p, at))
			key := fmt.Sprint(name, p.Login, p.Proven.JKT)
			if _, ok := fresh[key]; !ok {
				fresh[key] = outline(bearer.New(options).Credentials(context.Background(), p, now))
			}
			if got != fresh[key] {
				t.Fatalf("%s (login %t, proof %q) yields\n%s\nand to a fresh desk\n%s", name, p.Login, p.Proven.JKT, got, fresh[key])
			}
			for _, other := range []string{"ann", "bob"} {
				if other != last(name) && strings.Contains(got, "of "+other) {
					t.Fatalf("%s yields %s", name, got)
				}
			}
		}
	})
	for _, who := range w.tokensSeen() {
		if len(who) != 1 {
			t.Errorf("one token was seen by %v: row 70", who)
		}
	}
}

// last is whose token it is, by its name.
func last(name string) string {
	words := strings.Fields(name)
	if word := words[len(words)-1]; word != "opaque" {
		return word
	}
	return "ann"
}
