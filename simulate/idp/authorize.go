package idp

import (
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// authorization is what a code stands for.
type authorization struct {
	client    Client
	redirect  string
	challenge string
	nonce     string
	subject   string
	scope     []string
	resource  string
	expires   time.Time
	used      bool
	family    string // of the tokens that it was redeemed for
}

// authorize signs the researcher in whom login_hint names, or the first one, and
// asks nothing (RFC 6749, section 4.1; RFC 7636; RFC 9207).
func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		writeRefusal(w, refuse("invalid_request", "the form cannot be read"))
		return
	}
	form := r.Form
	p.mu.Lock()
	client, known := p.clients[form.Get("client_id")]
	p.mu.Unlock()
	redirect := form.Get("redirect_uri")
	if !known || !client.redirectsTo(redirect) {
		// Nothing is sent to an address that nobody registered.
		http.Error(w, "unknown client_id or redirect_uri", http.StatusBadRequest)
		return
	}
	answer := url.Values{"state": {form.Get("state")}}
	if code, err := p.newCode(client, form); err != nil {
		answer.Set("error", err.code)
		answer.Set("error_description", err.about)
	} else {
		answer.Set("code", code)
	}
	if b := p.is(); b.ResponseIss == nil {
		answer.Set("iss", p.issuer())
	} else if *b.ResponseIss != "" {
		answer.Set("iss", *b.ResponseIss)
	}
	target, err := url.Parse(redirect)
	if err != nil {
		http.Error(w, "redirect_uri cannot be read", http.StatusBadRequest)
		return
	}
	query := target.Query()
	for name, values := range answer {
		if values[0] != "" {
			query[name] = values
		}
	}
	target.RawQuery = query.Encode()
	http.Redirect(w, r, target.String(), http.StatusFound)
}

func (p *provider) newCode(client Client, form url.Values) (string, *refusal) {
	scope := words(form.Get("scope"))
	switch {
	case form.Get("response_type") != "code":
		return "", refuse("unsupported_response_type", "only the code flow is served")
	case form.Get("code_challenge") == "" || form.Get("code_challenge_method") != "S256":
		return "", refuse("invalid_request", "PKCE with S256 is required")
	case !slices.Contains(scope, scopeOpenID):
		return "", refuse("invalid_scope", "openid is missing")
	}
	who, ok := p.researcher(form.Get("login_hint"))
	if !ok {
		return "", refuse("access_denied", "no such researcher")
	}
	code := random()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[code] = &authorization{
		client: client, redirect: form.Get("redirect_uri"), challenge: form.Get("code_challenge"), nonce: form.Get("nonce"),
		subject: who.Subject, scope: scope, resource: form.Get("resource"), expires: p.now().Add(codeLife), family: random(),
	}
	return code, nil
}

// redirectsTo compares exactly; the port of a loopback address is free.
func (c Client) redirectsTo(uri string) bool {
	return uri != "" && slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		if registered == uri {
			return true
		}
		a, errA := url.Parse(registered)
		b, errB := url.Parse(uri)
		if errA != nil || errB != nil {
			return false
		}
		ip := net.ParseIP(a.Hostname())
		a.Host, b.Host = a.Hostname(), b.Hostname()
		return a.Scheme == "http" && ip != nil && ip.IsLoopback() && a.String() == b.String()
	})
}

// redeemCode answers grant_type=authorization_code. A code that comes again ends
// what it was redeemed for (RFC 6749, section 4.1.2).
func (p *provider) redeemCode(c call) (map[string]any, error) {
	p.mu.Lock()
	a, ok := p.codes[c.form.Get("code")]
	again := ok && a.used
	if ok {
		a.used = true
	}
	p.mu.Unlock()
	if again {
		p.endFamily(a.family)
	}
	sum := sha256.Sum256([]byte(c.form.Get("code_verifier")))
	switch {
	case !ok || again || !p.now().Before(a.expires):
		return nil, refuse("invalid_grant", "the code is unknown, used or too old")
	case a.client.ID != c.client.ID:
		return nil, refuse("invalid_grant", "the code was given to another client")
	case a.redirect != c.form.Get("redirect_uri"):
		return nil, refuse("invalid_grant", "redirect_uri is not that of the authorization request")
	case base64.RawURLEncoding.EncodeToString(sum[:]) != a.challenge:
		return nil, refuse("invalid_grant", "code_verifier does not fit")
	}
	return p.issue(c, signIn{subject: a.subject, scope: a.scope, nonce: a.nonce, resource: a.resource, family: a.family})
}
