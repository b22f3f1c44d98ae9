package simulate_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/trust"
)

// Row 62: whoever is revoked under a name that a kept link leads to is signed in for no
// client either, though the name that the provider signed in is another one.
func TestARevokedPersonIsSignedInForNoClient(t *testing.T) {
	c, portal, _, _ := twoPortals(t)
	c.ready()
	a := c.by["a"]
	portal.discover()
	b := a.browser()
	before := portal.redeem(portal.signIn(b))
	if before.IDToken == "" {
		t.Fatal(before.Error)
	}
	// The committee's visa says who ada is there, and A keeps that.
	var at api.Identity
	c.eventually("the committee's name for ada is known", func() (string, bool) {
		who, err := a.client(c.tokenOf("op", "a-cli", "ada")).Whoami(t.Context(), nil)
		i := slices.IndexFunc(who.Caller.Linked, func(l api.Identity) bool { return l.Issuer == c.by["d"].url })
		if err != nil || i < 0 {
			return "not linked", false
		}
		at = who.Caller.Linked[i]
		return "", true
	})
	r := trust.Revocation{Kind: trust.RevokeIdentity, Issuer: at.Issuer, Subject: at.Subject}
	if err := a.admin.Post(t.Context(), "/v1/revocations", r, &r); err != nil {
		t.Fatal(err)
	}
	if after := portal.redeem(portal.signIn(b)); after.IDToken != "" || after.AccessToken != "" || after.Error != "invalid_grant" {
		t.Errorf("a revoked person is signed in: %q", after.Error)
	}
	if status, _, _ := portal.userInfo(before.AccessToken); status != http.StatusUnauthorized {
		t.Errorf("UserInfo of a revoked person: %d", status)
	}
	if err := a.admin.Delete(t.Context(), "/v1/revocations/"+r.ID, nil); err != nil {
		t.Fatal(err)
	}
	if again := portal.redeem(portal.signIn(b)); again.IDToken == "" {
		t.Errorf("after the revocation was taken back: %q", again.Error)
	}
}
