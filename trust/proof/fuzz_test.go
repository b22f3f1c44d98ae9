package proof

import (
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// FuzzCheck: whatever text stands in the header and whatever claims a key signs, there
// is no panic and only *Error; what passes says what section 4.2 of RFC 9449 asks for,
// read by the standard library, and passes once.
func FuzzCheck(f *testing.F) {
	f.Add("POST", asked, "1", now.Unix(), "a.b.c")
	f.Add("post", asked+"?q#f", "", now.Unix()+31, "")
	f.Add("POST", "https://UHN.example:443/network/beacon/g_variants", "2", now.Unix()-60, "e30.e30.e30")
	f.Add("POST", "https://uhn.example:443\x00", "\u202e", int64(-1), researcher().Proof(good())) // of another key for a fuzzing process
	f.Fuzz(func(t *testing.T, method, address, id string, iat int64, header string) {
		checker := New(Options{Boot: boot})
		signed := researcher().Proof(passporttest.ProofClaims{
			Token: secret, More: passporttest.Claims{"htm": method, "htu": address, "jti": id, "iat": iat},
		})
		for _, proof := range []string{signed, header} {
			jkt, err := checker.Check(shown(proof))
			if err != nil {
				if refusal, ok := err.(*Error); !ok || refusal.Reason != trust.ReasonProof || jkt != "" {
					t.Errorf("%T %v %q", err, err, jkt)
				}
				continue
			}
			if proof == signed && jkt != researcher().JKT() {
				t.Errorf("%q passed for %q", proof, jkt)
			}
			if _, err := checker.Check(shown(proof)); err == nil {
				t.Error("it passed twice")
			}
			if proof == signed && (method != "POST" || id == "" || time.Unix(iat, 0).Before(now.Add(-maxAge)) || time.Unix(iat, 0).After(now.Add(maxAhead))) {
				t.Errorf("%q %q %q %d passed", method, address, id, iat)
			}
		}
	})
}

// FuzzAddress: two addresses are the same only if they differ in case, port, query
// or fragment; what is the same one way is the same the other way round.
func FuzzAddress(f *testing.F) {
	f.Add(asked, asked+"?a#b")
	f.Add("HTTP://h:80", "http://h/")
	f.Add("https://[::1]:443/%2f", "https://[::1]/%2F")
	f.Fuzz(func(t *testing.T, one, two string) {
		if (sameAddress(one, two) == nil) != (sameAddress(two, one) == nil) {
			t.Errorf("%q and %q are the same one way only", one, two)
		}
		a, ok := bare(one)
		if !ok {
			return
		}
		if a.host == "" || a.path == "" || a.port == "" && sameAddress(one, one) != nil || (a.scheme != "http" && a.scheme != "https") {
			t.Errorf("%q is %+v", one, a)
		}
	})
}
