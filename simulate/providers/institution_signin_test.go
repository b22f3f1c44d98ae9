package providers

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
)

// people of the institution: who they are there is not what they type.
var people = map[string]member{
	"rosalind": {password: "helix-1952", uid: "u5123"},
	"barbara":  {password: "maize-1944", uid: "u1944"},
}

// A person signs in at an institution by SAML, and comes to the node by OpenID
// Connect: three parties, each of which believes the next.
func TestAPersonSignsInAtAnInstitution(t *testing.T) {
	needLemon(t)
	needInstitution(t)
	w := newWorld(t)
	university := w.newInstitution(people)
	l := w.newLemon(nowhere, conferred{"u5123": w.grants("u5123")}, university.asAuthority(t))
	university.start(t, l.Issuer)
	policy := w.policy(l, nodeClient, trust.WayUserInfo)
	p := newParts(t, policy, w.committeePolicy())

	person := w.newBrowser("rosalind", "helix-1952")
	tokens := p.signIn(person, policy)
	if !slices.ContainsFunc(person.seen, func(at string) bool { return strings.HasPrefix("https://"+at, university.URL) }) {
		t.Errorf("the person was never at the institution: %v", person.seen)
	}
	if who, err := p.idToken(tokens, policy, nonce); err != nil || who.Subject != "u5123" {
		t.Fatalf("ID token: %v, %v", who.Identity, err)
	}
	got, err := p.bearer.Credentials(t.Context(), bearer.Presented{Token: tokens.Access}, time.Now())
	if err != nil || got.Subject != "u5123" || len(got.Sets) != 1 || len(got.Sets[0].Visas) != 2 {
		t.Fatalf("%v, %d sets, %v", got.Identity, len(got.Sets), err)
	}
}
