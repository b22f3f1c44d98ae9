package idp

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"github.com/candignode/candignode/trust/jose"
)

// proof checks the request's DPoP proof, if it has one, and gives the thumbprint
// of its key (RFC 9449, section 4.3). access is the token that it must go with, or "".
func (p *provider) proof(r *http.Request, access string) (string, error) {
	bad := func(about string) (string, error) { return "", refuse("invalid_dpop_proof", "%s", about) }
	headers := r.Header.Values("DPoP")
	if len(headers) == 0 {
		return "", nil
	}
	if len(headers) > 1 {
		return bad("two proofs")
	}
	opened, err := jose.OpenEmbedded(headers[0], "dpop+jwt", maxRequestBytes)
	if err != nil {
		return bad("not a proof that verifies under its own key")
	}
	var claims struct {
		ID     jose.Text        `json:"jti"`
		Method jose.Text        `json:"htm"`
		URL    jose.Text        `json:"htu"`
		Issued jose.NumericDate `json:"iat"`
		Token  jose.Text        `json:"ath"`
	}
	if err := jose.Unmarshal(opened.Payload, &claims); err != nil {
		return bad("the proof's claims cannot be read")
	}
	sum := sha256.Sum256([]byte(access))
	now := p.now()
	switch {
	case claims.Method.Value != r.Method || claims.URL.Value != p.server.base+r.URL.Path:
		return bad("the proof is for another request")
	case claims.Issued.IsZero() || now.Sub(claims.Issued.Time).Abs() > proofAge:
		return bad("the proof is too old or too new")
	case access != "" && claims.Token.Value != base64.RawURLEncoding.EncodeToString(sum[:]):
		return bad("the proof is for another token")
	case claims.ID.Value == "" || !p.once("proof "+claims.ID.Value, now.Add(2*proofAge)):
		return bad("jti is missing or was used before")
	}
	return opened.Key.Thumbprint, nil
}
