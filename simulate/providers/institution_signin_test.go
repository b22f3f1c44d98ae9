package providers

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
)

// people of the institution: who they are there is not what they type.
var people = map[string]member{
	"rosalind": {password: "helix-1952", uid: "u5123"},
	"barbara":  {password: "maize-1944", uid: "u1944"},
}

// A person signs in at an institution by SAML, and comes to the node by OpenID
// Connect: three parties, each of which believes the next (row 112).
func TestAPersonSignsInAtAnInstitution(t *testing.T) {
	needLemon(t)
	needInstitution(t)
	w := newWorld(t)
	s := w.newSite()
	university := w.newInstitution(people)
	front := w.newFront()
	l := w.newLemonAt(front, []string{s.callback(front.URL + "/")}, conferred{"u5123": w.grants("u5123")}, university.asAuthority(t))
	university.start(t, l.Issuer)
	s.start(l)

	rosalind := w.newBrowser("rosalind", "helix-1952")
	token := s.signIn(rosalind, l.Issuer)
	if !slices.ContainsFunc(rosalind.seen, func(at string) bool { return strings.HasPrefix("https://"+at, university.URL) }) {
		t.Errorf("the person was never at the institution: %v", rosalind.seen)
	}
	status, who := s.whoamiAsPage(rosalind, s.URL)
	if status != http.StatusOK || (trust.Identity{Issuer: who.Caller.Issuer, Subject: who.Caller.Subject}) != issuerOf(l, "u5123") {
		t.Fatalf("whoami: %d, %+v", status, who.Caller)
	}
	if len(who.Visas) != 2 || !who.Visas[0].Accepted || !who.Visas[1].Accepted {
		t.Errorf("visas: %+v", who.Visas)
	}
	if count, status, err := s.counted(t, token); err != nil || status != "ok" || count != s.carrier {
		t.Errorf("the count is %d (%s, %v), the file has %d", count, status, err, s.carrier)
	}

	// A colleague without a grant.
	barbara := w.newBrowser("barbara", "maize-1944")
	token = s.signIn(barbara, l.Issuer)
	if _, who := s.whoamiAsPage(barbara, s.URL); who.Caller.Subject != "u1944" || len(who.Visas) != 0 {
		t.Errorf("whoami of a person without visas: %+v", who)
	}
	if count, status, err := s.counted(t, token); err != nil || status != "denied" || count != 0 {
		t.Errorf("a person without visas got %d (%s, %v)", count, status, err)
	}

	// Somebody who does not know the password at the institution.
	stranger := w.newBrowser("rosalind", "maize-1944")
	if p := stranger.walk(s.URL + "/login/start?issuer=" + l.Issuer); "https://"+p.url.Host != university.URL || s.cookieOf(stranger) != "" {
		t.Errorf("a wrong password led to %s, session %v", p.url.Host, s.cookieOf(stranger) != "")
	}
	// An institution whose key is not the one that the provider was told of.
	university.newCertificate(t)
	doubted := w.newBrowser("rosalind", "helix-1952")
	if p := doubted.walk(s.URL + "/login/start?issuer=" + l.Issuer); s.cookieOf(doubted) != "" || p.url.Path != "/saml/proxySingleSignOnPost" {
		t.Errorf("an assertion that another key signed: session %v, the browser stands at %s%s", s.cookieOf(doubted) != "", p.url.Host, p.url.Path)
	}
}
