package admin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

const idp = "https://idp.example.org/"

var leaked = trust.DigestOfString("a token that leaked")

// said gives the records that the log has, in short.
func (d *door) said() (all []string) {
	d.t.Helper()
	err := admin.Inside(d.handler).Audit(d.t.Context(), nil, func(line admin.AuditLine) error {
		var r audit.Record
		err := json.Unmarshal(line.Record, &r)
		all = append(all, fmt.Sprint(r.Event, " ", r.Outcome, " ", r.Caller.Subject, " ", r.Detail))
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

func (d *door) revoke(body string) trust.Revocation {
	d.t.Helper()
	status, answer := d.call("POST", "/v1/revocations", body)
	var r trust.Revocation
	if err := json.Unmarshal([]byte(answer), &r); status != 200 || err != nil {
		d.t.Fatal(status, answer, err)
	}
	return r
}

// row 62: the operator revokes a person, a jti, a token, a key or an issuer; the next
// question sees it, and the record is there. Other people and tokens are not touched.
func TestTheOperatorTakesAccessBack(t *testing.T) {
	d := newDoor(t, nil)
	mallory, alice := trust.Identity{Issuer: idp, Subject: "mallory"}, trust.Identity{Issuer: idp, Subject: "alice"}
	for _, c := range []struct {
		body    string
		revoked func(*trust.Revocations) bool
		other   func(*trust.Revocations) bool
		detail  string
	}{
		{`{"kind":"identity","iss":"` + idp + `","sub":"mallory","why":"left the project"}`,
			func(r *trust.Revocations) bool { return r.Identity(mallory) },
			func(r *trust.Revocations) bool { return r.Identity(alice) }, `why "left the project"`},
		{`{"kind":"jti","iss":"` + idp + `","jti":"j-1"}`,
			func(r *trust.Revocations) bool { return r.JTI(idp, "j-1") },
			func(r *trust.Revocations) bool { return r.JTI("https://other.example.org", "j-1") }, `jti "j-1"`},
		{`{"kind":"jti","jti":"j-2"}`,
			func(r *trust.Revocations) bool { return r.JTI("https://other.example.org", "j-2") },
			func(r *trust.Revocations) bool { return r.JTI(idp, "j-3") }, `jti "j-2"`},
		{`{"kind":"token","token":"` + leaked.String() + `"}`,
			func(r *trust.Revocations) bool { return r.Token(leaked) },
			func(r *trust.Revocations) bool { return r.Token(trust.Digest{1}) }, "token " + leaked.String()},
		{`{"kind":"key","key":"` + leaked.String() + `"}`,
			func(r *trust.Revocations) bool { return r.Key(leaked.String()) },
			func(r *trust.Revocations) bool { return r.Key("other") }, "key "},
		{`{"kind":"issuer","iss":"https://gone.example.org"}`,
			func(r *trust.Revocations) bool { return r.Issuer("https://gone.example.org") },
			func(r *trust.Revocations) bool { return r.Issuer(idp) }, "kind issuer"},
	} {
		if c.revoked(d.store.Revocations()) {
			t.Errorf("%s is revoked before", c.body)
		}
		before := d.entries()
		r := d.revoke(c.body)
		if now := d.store.Revocations(); !c.revoked(now) || c.other(now) {
			t.Errorf("%s: the next question would see %+v", c.body, now)
		}
		if again := d.revoke(c.body); again.ID != r.ID || d.entries() != before+1 {
			t.Errorf("%s again gave %s after %s", c.body, again.ID, r.ID)
		}
		if _, list := d.call("GET", "/v1/revocations", ""); !strings.Contains(list, r.ID) {
			t.Errorf("the list: %s", list)
		}
		if status, body := d.call("DELETE", "/v1/revocations/"+r.ID, ""); status != 200 || !strings.Contains(body, r.ID) {
			t.Errorf("removing: %d %s", status, body)
		}
		if c.revoked(d.store.Revocations()) {
			t.Errorf("%s still holds", c.body)
		}
		if status, body := d.call("DELETE", "/v1/revocations/"+r.ID, ""); status != 404 || !strings.Contains(body, "revoke list") {
			t.Errorf("removing it twice: %d %s", status, body)
		}
		said := d.said()
		if added, removed := said[len(said)-2], said[len(said)-1]; !strings.HasPrefix(added, "revocation added") ||
			!strings.HasPrefix(removed, "revocation removed") || !strings.Contains(added, c.detail) || !strings.Contains(removed, r.ID) {
			t.Errorf("%s: records %q", c.body, said)
		}
	}
	if _, list := d.call("GET", "/v1/revocations", ""); strings.TrimSpace(list) != "[]" {
		t.Errorf("the list: %s", list)
	}
}

// row 62: what names nothing, or more than one thing, revokes nothing.
func TestRevocationsThatAreRefused(t *testing.T) {
	d := newDoor(t, nil)
	token := "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkcCJ9.c2lnbmF0dXJl"
	for body, says := range map[string]string{
		`{}`:                                            "none of identity, jti, token, key, issuer",
		`{"kind":"everything"}`:                         "none of",
		`{"kind":"identity","iss":"x"}`:                 "needs sub",
		`{"kind":"identity","sub":"x"}`:                 "needs iss",
		`{"kind":"jti"}`:                                "needs jti",
		`{"kind":"token"}`:                              "needs token",
		`{"kind":"key"}`:                                "needs key",
		`{"kind":"issuer"}`:                             "needs iss",
		`{"kind":"issuer","iss":"x","sub":"y"}`:         "has no sub",
		`{"kind":"jti","jti":"x","sub":"y"}`:            "has no sub",
		`{"kind":"token","token":"short"}`:              "not the digest of a token",
		`{"kind":"token","token":"` + token + `"}`:      "not the digest of a token",
		`{"kind":"jti","jti":"` + token + `"}`:          "looks like a token",
		`{"kind":"key","key":"rsa1"}`:                   "thumbprint",
		`{"kind":"issuer","iss":"x","why":"\u001b[2J"}`: "printable",
		`{"kind":"issuer","iss":"x","why":"` + strings.Repeat("y", 501) + `"}`: "printable",
		`{"kind":"issuer","iss":"` + strings.Repeat("y", 1025) + `"}`:          "at most",
		`{"kind":"issuer","iss":"x","more":1}`:                                 "unknown field",
		`{"kind":"issuer","iss":"` + strings.Repeat("y", 65<<10) + `"}`:        "too large",
	} {
		status, answer := d.call("POST", "/v1/revocations", body)
		if status != 400 || !strings.Contains(answer, says) || strings.Contains(answer, "eyJ") {
			t.Errorf("%.80s: %d %.200s", body, status, answer)
		}
	}
	if d.entries() != 0 || d.store.Revocations().Revision() != 0 {
		t.Errorf("%d entries, %+v", d.entries(), d.store.Revocations())
	}
}

// A token where its digest should be is repeated neither in the answer nor in the
// log (row 64).
func TestATokenGivenForItsDigestIsNotLogged(t *testing.T) {
	state, err := store.Open(filepath.Join(t.TempDir(), "state.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	var log bytes.Buffer
	d := &door{t: t, store: state, handler: admin.New(admin.Options{
		Store: state, Datasets: &datasets{}, Status: func() admin.Status { return admin.Status{} },
		Now: func() time.Time { return noon }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})}
	status, _ := d.call("POST", "/v1/revocations", `{"kind":"token","token":"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkcCJ9.c2ln"}`)
	if status != http.StatusBadRequest || strings.Contains(log.String(), "eyJ") || !strings.Contains(log.String(), "not the digest") {
		t.Errorf("%d, log %s", status, log.String())
	}
}

func signedIn(t *testing.T, d *door, id, subject string, until time.Time) access.Session {
	t.Helper()
	v := access.Session{
		ID: id, TokenDigest: trust.DigestOfString("cgs_" + id), Identity: trust.Identity{Issuer: idp, Subject: subject},
		Created: time.Now(), Used: time.Now(), Until: until, Label: "curl", Sealed: []byte("sealed"),
	}
	if err := d.store.AddSession(t.Context(), v, audit.Record{Time: noon, Event: audit.EventSession, Outcome: "begun"}); err != nil {
		t.Fatal(err)
	}
	return v
}

// row 62: a session that was stolen ends at once; others go on.
func TestTheOperatorEndsASession(t *testing.T) {
	d := newDoor(t, nil)
	later := time.Now().Add(time.Hour)
	stolen, other := signedIn(t, d, "aa01", "mallory", later), signedIn(t, d, "aa02", "alice", later)
	list := func(query string) (ids []string) {
		_, body := d.call("GET", "/v1/sessions"+query, "")
		var all []access.Session
		if err := json.Unmarshal([]byte(body), &all); err != nil {
			t.Fatal(body, err)
		}
		for _, v := range all {
			ids = append(ids, v.ID)
		}
		if strings.Contains(body, "sealed") || strings.Contains(body, stolen.TokenDigest.String()) {
			t.Errorf("the list holds what only the node needs: %s", body)
		}
		slices.Sort(ids)
		return ids
	}
	for query, want := range map[string][]string{
		"": {"aa01", "aa02"}, "?sub=mallory": {"aa01"}, "?iss=" + idp: {"aa01", "aa02"},
		"?iss=https://other.example.org/&sub=mallory": nil, "?iss=" + idp + "&sub=alice": {"aa02"},
	} {
		if got := list(query); !slices.Equal(got, want) {
			t.Errorf("%s lists %v", query, got)
		}
	}
	if status, body := d.call("DELETE", "/v1/sessions/aa01", ""); status != 200 || !strings.Contains(body, "mallory") {
		t.Errorf("ending: %d %s", status, body)
	}
	if _, ok := d.store.SessionByToken(stolen.TokenDigest); ok {
		t.Error("the session still opens")
	}
	if _, ok := d.store.SessionByToken(other.TokenDigest); !ok {
		t.Error("somebody else was signed out")
	}
	if status, body := d.call("DELETE", "/v1/sessions/aa01", ""); status != 404 || !strings.Contains(body, "sessions list") {
		t.Errorf("ending it twice: %d %s", status, body)
	}
	said := d.said()
	if last := said[len(said)-1]; last != "session ended mallory session aa01: by the operator" {
		t.Errorf("records %q", said)
	}
}

// Row 62: whoever is revoked is signed out, so that a revocation that is taken back
// opens no old session; others stay signed in, and a revoked token signs nobody out.
func TestARevokedPersonIsSignedOut(t *testing.T) {
	d := newDoor(t, nil)
	later := time.Now().Add(time.Hour)
	gone, other := signedIn(t, d, "aa01", "mallory", later), signedIn(t, d, "aa02", "alice", later)
	revoke := func(body string) {
		if status, said := d.call("POST", "/v1/revocations", body); status != 200 {
			t.Fatalf("%d %s", status, said)
		}
	}
	revoke(`{"kind":"jti","jti":"x"}`)
	if _, ok := d.store.SessionByToken(gone.TokenDigest); !ok {
		t.Error("a revoked jti signed somebody out")
	}
	revoke(`{"kind":"identity","iss":"` + idp + `","sub":"mallory"}`)
	if _, ok := d.store.SessionByToken(gone.TokenDigest); ok {
		t.Error("the revoked person is still signed in")
	}
	if _, ok := d.store.SessionByToken(other.TokenDigest); !ok {
		t.Error("somebody else was signed out")
	}
	if said := d.said(); said[len(said)-1] != "session ended mallory session aa01: by the operator" {
		t.Errorf("records %q", said)
	}
	revoke(`{"kind":"issuer","iss":"` + idp + `"}`)
	if _, ok := d.store.SessionByToken(other.TokenDigest); ok {
		t.Error("people of a revoked issuer are still signed in")
	}
}
