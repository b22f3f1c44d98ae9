package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
	"github.com/candignode/candignode/trust/passport"
)

// The words of token exchange (RFC 8693; GA4GH AAI 1.2, "Passport Issuers").
const (
	GrantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	TokenTypePassport  = "urn:ga4gh:params:oauth:token-type:passport"
	TokenTypeAccess    = "urn:ietf:params:oauth:token-type:access_token"
	TokenTypeJWT       = "urn:ietf:params:oauth:token-type:jwt"
)

// Request is what came to the token endpoint.
type Request struct {
	Form url.Values // of the body alone, never of the URL
	// Authorization is the Authorization header: no client authenticates by it.
	Authorization string
	Proven        trust.Proven // the client's certificate
	Transaction   string       // for the records
}

// Issued is the answer of the token endpoint. Body gives the secret bytes.
type Issued struct {
	Passport  trust.Passport
	ExpiresIn time.Duration // whole seconds
	TokenType string        // N_A or Bearer
}

// Body is the response's JSON (RFC 8693, section 2.2.1). It must be sent with
// Cache-Control: no-store and Pragma: no-cache (passports.md, row 71).
func (i Issued) Body() ([]byte, error) {
	return json.Marshal(struct {
		AccessToken     string `json:"access_token"`
		IssuedTokenType string `json:"issued_token_type"`
		TokenType       string `json:"token_type"`
		ExpiresIn       int64  `json:"expires_in"`
	}{i.Passport.Compact(), TokenTypePassport, i.TokenType, int64(i.ExpiresIn / time.Second)})
}

// Token answers at the token endpoint, for each grant type, with the JSON of the
// response, which is a secret. The error is an *OAuthError, or ctx's when the client has
// gone away.
func (b *Broker) Token(ctx context.Context, r Request) ([]byte, error) {
	if len(r.Form["grant_type"]) != 1 || r.Form.Get("grant_type") != GrantCode || !b.SignsIn() {
		issued, err := b.Exchange(ctx, r)
		if err != nil {
			return nil, err
		}
		return issued.Body()
	}
	form, refusal := readForm(r.Form, GrantCode)
	if refusal != nil {
		return nil, refusal
	}
	client, refusal := b.client(form, r, b.o.Now())
	if refusal != nil {
		return nil, refusal
	}
	return b.redeem(ctx, form, client, r.Transaction)
}

// Exchange gives a passport for an access token (passports.md, rows 73 to 79). The error
// is an *OAuthError, or ctx's when the client has gone away.
func (b *Broker) Exchange(ctx context.Context, r Request) (Issued, error) {
	form, refusal := readForm(r.Form, GrantTokenExchange)
	if refusal != nil {
		return Issued{}, refusal
	}
	now := b.o.Now()
	client, refusal := b.client(form, r, now)
	if refusal != nil {
		return Issued{}, refusal
	}
	wanted, refusal := b.wanted(form, client, now)
	if refusal != nil {
		return Issued{}, refusal
	}
	caller, visas, until, err := b.o.Authenticate(ctx, trust.NewAccessToken(form.get("subject_token")), client.ID)
	if err != nil {
		return Issued{}, b.noSubject(ctx, err, client)
	}
	wanted.caller, wanted.visas, wanted.until = caller, visas, until
	wanted.transaction = r.Transaction
	issued, err := b.issue(ctx, wanted)
	if err != nil {
		return Issued{}, b.notIssued(ctx, err, client)
	}
	tokenType := "N_A"
	if b.o.BearerTokenType {
		tokenType = "Bearer"
	}
	return Issued{
		Passport: issued.passport, TokenType: tokenType,
		ExpiresIn: max(0, issued.expires.Sub(now)).Truncate(time.Second),
	}, nil
}

// readForm refuses what can be read in two ways: a parameter that stands there twice
// (RFC 6749, section 3.2). resource and audience may (RFC 8693, section 2.1).
func readForm(values url.Values, grant string) (parameters, *OAuthError) {
	total := 0
	for name, all := range values {
		total += len(all)
		if total > maxParameters {
			return nil, oauth(CodeInvalidRequest, "more than %d parameters", maxParameters)
		}
		if len(all) > 1 && name != "resource" && name != "audience" {
			return nil, oauth(CodeInvalidRequest, "a parameter is there more than once")
		}
	}
	form := parameters(values)
	if form.get("grant_type") != grant {
		if form.get("grant_type") == "" {
			return nil, oauth(CodeInvalidRequest, "grant_type is missing")
		}
		return nil, oauth(CodeGrantType, "grant_type must be %s", grant)
	}
	return form, nil
}

// wanted reads what the client asks for, before anybody is asked who the subject is.
func (b *Broker) wanted(form parameters, client Client, now time.Time) (order, *OAuthError) {
	switch {
	case form.get("requested_token_type") != TokenTypePassport:
		return order{}, oauth(CodeInvalidRequest, "requested_token_type must be %s", TokenTypePassport)
	case form.get("subject_token_type") != TokenTypeAccess:
		return order{}, oauth(CodeInvalidRequest, "subject_token_type must be %s", TokenTypeAccess)
	}
	if refusal := subject(form.get("subject_token")); refusal != nil {
		return order{}, refusal
	}
	for _, scope := range strings.Fields(form.get("scope")) {
		if scope != "openid" && scope != mint.ClaimPassport {
			return order{}, oauth(CodeInvalidScope, "a passport has no scopes but openid and %s", mint.ClaimPassport)
		}
	}
	targets, refusal := b.targets(form, client)
	if refusal != nil {
		return order{}, refusal
	}
	actor, refusal := b.actor(form, client, now)
	if refusal != nil {
		return order{}, refusal
	}
	life, refusal := lifetime(form.get("expires_in"))
	if refusal != nil {
		return order{}, refusal
	}
	return order{audience: targets, actor: actor, life: life, detail: fmt.Sprintf("for client %q", client.ID)}, nil
}

// subject refuses what cannot be an access token; whether it is a good one is asked
// last. A passport, or a visa, is no way to another passport (passports.md, row 75).
func subject(token string) *OAuthError {
	switch {
	case token == "":
		return oauth(CodeInvalidRequest, "subject_token is missing")
	case len(token) > maxSubjectToken:
		return oauth(CodeInvalidRequest, "subject_token has more than %d bytes", maxSubjectToken)
	}
	parsed, err := jose.Parse(token, maxSubjectToken)
	if err != nil {
		return nil // opaque
	}
	var claims struct {
		Passport present `json:"ga4gh_passport_v1"`
		Visa     present `json:"ga4gh_visa_v1"`
	}
	header := parsed.Header()
	if header.IsType(mint.TypePassport) || header.IsType(mint.TypeVisa) || parsed.UnverifiedClaims(&claims) == nil && bool(claims.Passport || claims.Visa) {
		return oauth(CodeInvalidRequest, "subject_token must be an access token, and is a passport or a visa")
	}
	return nil
}

// present is true when a claim is there at all, whatever its value.
type present bool

// UnmarshalJSON implements json.Unmarshaler.
func (p *present) UnmarshalJSON([]byte) error {
	*p = true
	return nil
}

// targets gives the passport's aud: each resource and audience, once, all of them known
// in the federation and allowed to this client; without any, the client itself. There
// is no passport for everybody (passports.md, row 77).
func (b *Broker) targets(form parameters, client Client) ([]string, *OAuthError) {
	asked := slices.Concat(form["resource"], form["audience"])
	asked = slices.DeleteFunc(asked, func(s string) bool { return s == "" })
	if len(asked) > maxTargets {
		return nil, oauth(CodeInvalidTarget, "more than %d targets", maxTargets)
	}
	for _, resource := range form["resource"] {
		if resource != "" && !absolute(resource) {
			return nil, oauth(CodeInvalidTarget, "resource must be an absolute URI without a fragment")
		}
	}
	known := b.o.Targets()
	if len(asked) == 0 {
		if slices.Contains(known, client.ID) && !slices.Contains(client.Targets, client.ID) {
			return nil, oauth(CodeInvalidTarget, "say which resource the passport is for")
		}
		return []string{client.ID}, nil
	}
	var targets []string
	for _, target := range asked {
		if !slices.Contains(known, target) || !slices.Contains(client.Targets, target) {
			return nil, oauth(CodeInvalidTarget, "a resource or audience is not known here, or this client may not ask for it")
		}
		if !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	return targets, nil
}

// absolute tells whether s is an absolute URI without a fragment (RFC 8707, section 2).
func absolute(s string) bool {
	parsed, err := url.Parse(s)
	return err == nil && len(s) <= maxTarget && parsed.IsAbs() && (parsed.Host != "" || parsed.Opaque != "") && !strings.Contains(s, "#")
}

// actor reads who acts for the subject (passports.md, row 78): the client itself, which
// proves it with one more assertion. Nobody can name another.
func (b *Broker) actor(form parameters, client Client, now time.Time) (string, *OAuthError) {
	token, kind := form.get("actor_token"), form.get("actor_token_type")
	switch {
	case token == "" && kind == "":
		return "", nil
	case token == "" || kind == "":
		return "", oauth(CodeInvalidRequest, "actor_token and actor_token_type come together or not at all")
	case kind != TokenTypeJWT:
		return "", oauth(CodeInvalidRequest, "actor_token_type must be %s: an assertion of the client itself", TokenTypeJWT)
	}
	actor, refusal := b.asserted(token, now)
	if refusal != nil {
		return "", oauth(CodeInvalidRequest, "actor_token: %s", refusal.Description)
	}
	if actor.ID != client.ID {
		return "", oauth(CodeInvalidRequest, "actor_token is another client's")
	}
	return client.Actor, nil
}

// lifetime reads expires_in, which is this node's own: how long the passport should last.
// More than may be is not refused, but cut (passports.md, row 79).
func lifetime(text string) (time.Duration, *OAuthError) {
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil || seconds == 0 || text[0] == '+' {
		return 0, oauth(CodeInvalidRequest, "expires_in must be a number of seconds")
	}
	return time.Duration(seconds) * time.Second, nil
}

// noSubject tells a token that is no good from an issuer that could not be asked.
func (b *Broker) noSubject(ctx context.Context, err error, client Client) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	refusal, ok := errors.AsType[*passport.Refusal](err)
	b.o.Log.InfoContext(ctx, "an access token was not exchanged", "client", client.ID, "error", err)
	if !ok || refusal.Reason == trust.ReasonProvider {
		return oauth(CodeUnavailable, "subject_token could not be judged now: try again later")
	}
	return oauth(CodeInvalidRequest, "subject_token is not good here (%s): it must be a valid access token with the scopes openid and %s", refusal.Reason, mint.ClaimPassport)
}

func (b *Broker) notIssued(ctx context.Context, err error, client Client) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	b.o.Log.WarnContext(ctx, "a passport was not issued", "client", client.ID, "error", err)
	switch {
	case errors.Is(err, ErrNobody), errors.Is(err, ErrExpired):
		return oauth(CodeInvalidRequest, "subject_token names nobody, or has expired")
	case errors.Is(err, ErrTooMany):
		return oauth(CodeInvalidRequest, "the subject has more visas than a passport can carry")
	}
	return oauth(CodeUnavailable, "no passport can be signed now: try again later")
}
