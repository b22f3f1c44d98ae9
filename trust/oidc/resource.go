package oidc

import (
	"context"
	"errors"
	"slices"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/polling"
)

// UserInfo gives the UserInfo answer for the token (OpenID Connect Core 1.0, section
// 5.3): JSON or a JWT, up to 2 MiB, in 10 s at most. Nothing of it is read here; sub
// is the caller's to compare (passports.md, row 68).
func (p *Provider) UserInfo(ctx context.Context, issuer trust.IssuerPolicy, token trust.AccessToken) (bearer.Document, error) {
	e, err := p.to(ctx, issuer, "UserInfo", func(all trust.Endpoints) string { return all.UserInfo })
	if err != nil {
		return bearer.Document{}, err
	}
	if token.IsZero() {
		return bearer.Document{}, &Error{Op: e.op, Issuer: issuer.Issuer, Kind: bearer.ErrRefused, Detail: "there is no token"}
	}
	return p.get(ctx, e, token, want{[]string{mediaJSON, mediaJWT}, maxDocument})
}

// Claims gives a distributed claim: the JWT at an endpoint of source, asked with the
// token in the Authorization header, or with the pre-negotiated one of source's policy
// if token is zero (OpenID Connect Core 1.0, section 5.6.2; passports.md, rows 82, 83
// and 87). An endpoint that the policy does not list letter by letter is not asked.
func (p *Provider) Claims(ctx context.Context, source trust.IssuerPolicy, address string, token trust.AccessToken) ([]byte, error) {
	const op = "distributed claims"
	// The OpenID provider chose the address, and may be in league with its owner.
	if !slices.Contains(source.Claims.Endpoints, address) {
		return nil, &Error{Op: op, Issuer: source.Issuer, Kind: bearer.ErrNoWay, Detail: "that endpoint is not one of claims.endpoints; nothing was sent"}
	}
	e, err := p.at(source, op, address, trust.Endpoints{})
	if err != nil {
		return nil, err
	}
	if token.IsZero() {
		token = source.Claims.Token
	}
	doc, err := p.get(ctx, e, token, want{[]string{mediaJWT}, maxDocument})
	if err != nil {
		return nil, err
	}
	return doc.Body, nil
}

// Poll asks the issuer of a visa in the form of an access token whether it still
// stands, which it does by answering at its UserInfo endpoint (GA4GH AAI 1.2, "Conformance
// for Claim Clearinghouses", section 6; passports.md, rows 57 to 60). It is a
// polling.Fetch: the visas of the answer, or an error of that package, or one that leaves
// the question open. Only JSON can be followed; a signed answer is
// polling.ErrUnusable. The visa was verified by the caller.
func (p *Provider) Poll(ctx context.Context, issuer trust.IssuerPolicy, visa trust.Passport) (visas []string, err error) {
	const op = "polling of a visa"
	e, err := p.to(ctx, issuer, op, func(all trust.Endpoints) string { return all.UserInfo })
	if err != nil {
		return nil, err
	}
	parsed, err := jose.Parse(visa.Compact(), maxDocument)
	var about struct {
		Subject string `json:"sub"`
	}
	if err == nil {
		err = parsed.UnverifiedClaims(&about)
	}
	if err != nil || about.Subject == "" {
		return nil, &Error{Op: op, Issuer: issuer.Issuer, Kind: bearer.ErrRefused, Detail: "the visa names nobody", cause: polling.ErrRefused}
	}
	doc, err := p.get(ctx, e, trust.NewAccessToken(visa.Compact()), want{[]string{mediaJSON, mediaJWT}, maxDocument})
	if err != nil {
		if own, ours := errors.AsType[*Error](err); ours && errors.Is(own.Kind, bearer.ErrRefused) {
			own.cause = polling.ErrRefused
		}
		return nil, err
	}
	visas, present, wrong := readPoll(doc.Body, about.Subject)
	switch {
	case wrong != "":
		unusable := e.nonsense(wrong)
		unusable.cause = polling.ErrUnusable
		return nil, unusable
	case !present:
		return nil, polling.ErrUnchanged
	}
	return visas, nil
}

// readPoll takes the visas out of a UserInfo answer about sub. present tells whether
// it says anything about visas.
func readPoll(body []byte, sub string) (visas []string, present bool, wrong string) {
	const claim = "ga4gh_passport_v1"
	var all map[string]any
	if err := jose.Unmarshal(body, &all); err != nil || all == nil {
		return nil, false, "its answer is not the JSON of UserInfo"
	}
	// Another person's visas are no news about this one's (OpenID Connect Core 1.0,
	// section 5.3.2).
	if all["sub"] != sub {
		return nil, false, "its answer is about somebody else"
	}
	// Whatever is said elsewhere, or in another form, could be that the visa is gone.
	if names, ok := all["_claim_names"]; ok {
		if names, ok := names.(map[string]any); !ok || names[claim] != nil {
			return nil, false, "its answer leaves the visas to somebody else"
		}
	}
	says, present := all[claim]
	if !present {
		return nil, false, ""
	}
	list, ok := says.([]any)
	if !ok {
		return nil, false, "its answer has visas that are no list"
	}
	visas = make([]string, len(list))
	for i, visa := range list {
		if visas[i], ok = visa.(string); !ok {
			return nil, false, "its answer has a visa that is not text"
		}
	}
	return visas, true, ""
}
