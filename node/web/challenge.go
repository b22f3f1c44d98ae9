package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/proof"
)

// metadataPath is where the node says whom it trusts (RFC 9728, section 3.1).
const metadataPath = "/.well-known/oauth-protected-resource"

// challenge tells a caller who is not authenticated what would be taken, and what
// was wrong with what was shown: RFC 6750, section 3; RFC 9449, section 7.1; RFC
// 9728, section 5.1. PassportAuth is the name that DRS 1.3 gives passports in a body.
func (e *exchange) challenge(f failure, err error) {
	h := e.w.Header()
	general, ofProof := oauthError(f.reason), oauthError(f.reason)
	if f.reason == trust.ReasonProof {
		general, ofProof = "invalid_token", "invalid_dpop_proof"
		if errors.Is(err, proof.ErrUseNonce) && e.o.Proofs != nil {
			ofProof = "use_dpop_nonce"
			h.Set("DPoP-Nonce", e.o.Proofs.Nonce(e.o.Now()))
		}
	}
	h.Add("WWW-Authenticate", e.scheme("Bearer", general))
	if e.o.Proofs != nil {
		h.Add("WWW-Authenticate", e.scheme("DPoP", ofProof, `algs="`+strings.Join(proofAlgorithms, " ")+`"`))
	}
	h.Add("WWW-Authenticate", "PassportAuth")
	if f.reason == trust.ReasonSession && e.identified.cookie {
		http.SetCookie(e.w, cookie(sessionCookie, "", -1)) // or the browser shows it for ever
	}
}

// scheme gives one challenge.
func (e *exchange) scheme(name, code string, parameters ...string) string {
	if code != "" {
		parameters = append(parameters, `error="`+code+`"`)
	}
	if code == "insufficient_scope" {
		parameters = append(parameters, `scope="openid ga4gh_passport_v1"`)
	}
	if e.o.ExternalURL != "" {
		parameters = append(parameters, `resource_metadata="`+e.o.ExternalURL+metadataPath+`"`)
	}
	return strings.TrimSuffix(name+" "+strings.Join(parameters, ", "), " ")
}

// oauthError gives the code of RFC 6750, section 3.1, "" if nothing was shown.
func oauthError(reason trust.Reason) string {
	switch reason {
	case "":
		return ""
	case trust.ReasonUnsupportedToken:
		return "invalid_request"
	case trust.ReasonScope:
		return "insufficient_scope"
	}
	return "invalid_token"
}
