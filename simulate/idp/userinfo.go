package idp

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// bearer gives the token of a request to a protected endpoint, or refuses it as
// RFC 6750, section 3.1, says. A token that is bound to a key needs its proof.
func (p *provider) bearer(r *http.Request, kinds ...tokenKind) (*token, string, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if text == "" {
		return nil, "", &refusal{http.StatusUnauthorized, "invalid_token", "no access token"}
	}
	t, ok := p.good(text, kinds...)
	if !ok {
		return nil, "", &refusal{http.StatusUnauthorized, "invalid_token", "the token is unknown, ended or of another kind"}
	}
	switch {
	case t.jkt == "" && strings.EqualFold(scheme, "Bearer"):
		return t, text, nil
	case t.jkt != "" && strings.EqualFold(scheme, "DPoP"):
		if jkt, err := p.proof(r, text); err != nil || jkt != t.jkt {
			return nil, "", &refusal{http.StatusUnauthorized, "invalid_dpop_proof", "the token is bound to another key"}
		}
		return t, text, nil
	}
	return nil, "", &refusal{http.StatusUnauthorized, "invalid_token", "the token does not go with " + scheme}
}

func writeBearerRefusal(w http.ResponseWriter, err error) {
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	w.Write(encoded(map[string]string{"error": "invalid_token", "error_description": err.Error()}))
}

// userInfo answers OpenID Connect Core 1.0, section 5.3, with the visas for a
// passport-scoped access token (GA4GH AAI 1.2, "UserInfo").
func (p *provider) userInfo(w http.ResponseWriter, r *http.Request) {
	t, _, err := p.bearer(r, accessToken, visaToken)
	if err != nil {
		writeBearerRefusal(w, err)
		return
	}
	if !slices.Contains(t.scope, scopeOpenID) {
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="openid"`)
		http.Error(w, "openid is missing", http.StatusForbidden)
		return
	}
	claims, err := p.userInfoClaims(t)
	if err != nil {
		writeRefusal(w, err)
		return
	}
	b := p.is()
	if b.UserInfoClaims != nil {
		b.UserInfoClaims(claims)
	}
	contentType, body := "application/json", []byte(nil)
	if b.SignedUserInfo {
		claims["aud"] = t.client
		signed, err := p.server.sign(p.name, typeJWT, p.now(), claims)
		if err != nil {
			writeRefusal(w, err)
			return
		}
		contentType, body = "application/jwt", []byte(signed)
	} else {
		maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
		body = encoded(claims)
	}
	if b.UserInfoType != "" {
		contentType = b.UserInfoType
	}
	w.Header().Set("Content-Type", contentType)
	w.Write(body)
}

func (p *provider) userInfoClaims(t *token) (map[string]any, error) {
	claims := map[string]any{}
	who, known := p.researcher(t.subject)
	maps.Copy(claims, who.Claims)
	claims["sub"] = t.subject
	if t.kind == visaToken {
		if polled := p.is().PolledVisas; polled != nil {
			visas, err := p.server.Visas(Researcher{Subject: t.subject, Visas: polled}, p.now())
			if err != nil {
				return nil, err
			}
			claims[claimPassport] = visas
		}
		return claims, nil
	}
	if !known {
		return claims, nil
	}
	if passportScoped(t.scope) {
		visas, err := p.server.Visas(who, p.now())
		if err != nil {
			return nil, err
		}
		claims[claimPassport] = visas
	}
	return claims, p.addSources(claims, who)
}

// addSources names the sources of further claims. A claim that comes from a source
// does not stand beside it (passports.md, row 88).
func (p *provider) addSources(claims map[string]any, who Researcher) error {
	if len(who.Sources) == 0 {
		return nil
	}
	names, sources := map[string]any{}, map[string]any{}
	for i, s := range who.Sources {
		id := "src" + string(rune('1'+i))
		source := map[string]any{}
		switch {
		case s.JWT != "":
			source["JWT"] = s.JWT
		case s.Aggregated:
			jwt, err := p.server.SourceJWT(s.Issuer, s.Subject, s.claim())
			if err != nil {
				return err
			}
			source["JWT"] = jwt
		default:
			token, err := p.server.AccessToken(s.Issuer, s.Subject, p.issuer(), "claims")
			if err != nil {
				return err
			}
			source["endpoint"], source["access_token"] = p.server.Name(s.Issuer)+"/claims", token
			if s.Endpoint != "" {
				source["endpoint"] = s.Endpoint
			}
			if s.Token != "" {
				source["access_token"] = s.Token
			}
		}
		names[s.claim()], sources[id] = id, source
		delete(claims, s.claim())
	}
	claims["_claim_names"], claims["_claim_sources"] = names, sources
	return nil
}

// SourceJWT is what an issuer signs as a source of claims: the subject's visas as
// claim, or the registered claim of that name.
func (s *Server) SourceJWT(issuer, subject, claim string) (string, error) {
	p, err := s.provider(issuer)
	if err != nil {
		return "", err
	}
	who, _ := p.researcher(subject)
	now := p.now()
	claims := map[string]any{"sub": subject, claim: who.Claims[claim]}
	if claims[claim] == nil {
		if claims[claim], err = s.Visas(who, now); err != nil {
			return "", err
		}
	}
	if b := p.is(); b.SourceClaims != nil {
		b.SourceClaims(claims)
	}
	return s.sign(issuer, typeJWT, now, claims)
}

// claims is a source of distributed claims: the token alone says whose. The claim is
// ga4gh_passport_v1, or the one that the query names.
func (p *provider) claims(w http.ResponseWriter, r *http.Request) {
	t, _, err := p.bearer(r, accessToken)
	if err != nil {
		writeBearerRefusal(w, err)
		return
	}
	claim := r.URL.Query().Get("claim")
	if claim == "" {
		claim = claimPassport
	}
	jwt, err := p.server.SourceJWT(p.name, t.subject, claim)
	if err != nil {
		writeRefusal(w, err)
		return
	}
	contentType := p.is().ClaimsType
	if contentType == "" {
		contentType = "application/jwt"
	}
	w.Header().Set("Content-Type", contentType)
	w.Write([]byte(jwt))
}

// introspect answers RFC 7662 to clients that prove who they are.
func (p *provider) introspect(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		writeRefusal(w, refuse("invalid_request", "the form cannot be read"))
		return
	}
	client, err := p.authenticate(r)
	if err == nil && client.public() {
		err = noClient("a public client may not ask")
	}
	if err != nil {
		writeRefusal(w, err)
		return
	}
	t, ok := p.good(r.PostForm.Get("token"), accessToken, visaToken)
	if !ok {
		writeJSON(w, http.StatusOK, map[string]any{"active": false})
		return
	}
	reply := map[string]any{
		"active": true, "iss": p.issuer(), "sub": t.subject, "scope": strings.Join(t.scope, " "), "client_id": t.client,
		"aud": audienceClaim(t.audience), "exp": t.expires.Unix(), "iat": t.issued.Unix(), "token_type": "Bearer",
	}
	if t.jkt != "" {
		reply["cnf"], reply["token_type"] = map[string]any{"jkt": t.jkt}, "DPoP"
	}
	if b := p.is(); b.Introspection != nil {
		b.Introspection(reply)
	}
	writeJSON(w, http.StatusOK, reply)
}
