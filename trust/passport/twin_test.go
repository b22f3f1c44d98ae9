package passport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// twinOf writes an ES256 token with the other signature that verifies, for which nobody
// needs the key.
func twinOf(t *testing.T, compact string) string {
	t.Helper()
	begin := strings.LastIndexByte(compact, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(compact[begin:])
	if err != nil || len(signature) != 64 {
		t.Fatalf("not an ES256 token: %v", err)
	}
	new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(signature[32:])).FillBytes(signature[32:])
	return compact[:begin] + base64.RawURLEncoding.EncodeToString(signature)
}

// Row 62: a leaked token that is revoked by its digest stays revoked when its thief gives
// it the other signature that ES256 allows; a token that nobody revoked does not suffer.
func TestRevokedTokenHasNoTwin(t *testing.T) {
	w := newWorldOf(t, instituteKey(), dacKey(), instituteKey(), strangerKey())
	var revoked *trust.Revocations
	options := w.verifier.options
	options.Revoked = func() *trust.Revocations { return revoked }
	w.verifier = New(options)
	if _, ok := w.broker.Keys()[0].Public.(*ecdsa.PublicKey); !ok {
		t.Fatal("this test needs a broker that signs ES256")
	}
	affiliation := w.institute.Visa(passporttest.VisaClaims{
		Subject: "r", IssuedAt: now.Add(-1e9), Expires: now.Add(36e11), Asserted: now.Add(-1e12),
		Type: trust.VisaAffiliationAndRole, Value: "faculty@institute.example", Source: instituteURL,
	})
	leaked := w.passport(affiliation)
	w.wantPassport(t, "", leaked)
	w.wantPassport(t, "", twinOf(t, leaked)) // two spellings of one token: the law of ES256

	revoke := func(compact string) {
		revision := revoked.Revision() + 1
		revoked = trust.NewRevocations(revision, []trust.Revocation{{Kind: trust.RevokeToken, Token: trust.DigestOfString(compact)}})
	}
	revoke(leaked)
	w.wantPassport(t, trust.ReasonRevoked, leaked)
	w.wantPassport(t, trust.ReasonRevoked, twinOf(t, leaked))
	w.wantPassport(t, "", w.passport())

	revoke(affiliation)
	w.wantVisa(t, affiliation, trust.ReasonRevoked)
	w.wantVisa(t, twinOf(t, affiliation), trust.ReasonRevoked)
}
