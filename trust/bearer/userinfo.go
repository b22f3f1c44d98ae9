package bearer

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/claims"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport"
)

// userInfo are the members of a UserInfo response that are read here. Others are read
// over, but for claims that it points to.
type userInfo struct {
	Issuer  jose.Text        `json:"iss"`
	Subject jose.Text        `json:"sub"`
	Expires jose.NumericDate `json:"exp"`
	Visas   visaList         `json:"ga4gh_passport_v1"`
}

// visaList is an array of strings if it is there; null is none (passports.md, row 5).
type visaList struct {
	present bool
	visas   []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *visaList) UnmarshalJSON(data []byte) error {
	l.present = true
	var texts []jose.Text
	if len(data) == 0 || data[0] != '[' || jose.Unmarshal(data, &texts) != nil {
		return &jose.Error{Reason: trust.ReasonBadClaim, Detail: passportClaim + " is not an array of strings"}
	}
	for _, text := range texts {
		l.visas = append(l.visas, text.Value)
	}
	return nil
}

// informed gets what UserInfo says: who it is, if nothing else has said so; the visas
// that the issuer vouches for; and the claims that it points to (passports.md, rows 68
// and 80 to 89).
func (d *Desk) informed(ctx context.Context, m moment, w whose, p Presented, r *record) *failure {
	info, payload, failure := d.askUserInfo(ctx, m, w, p.Token)
	if errors.Is(failure.wrapped(), ErrNoWay) && w.policy.Tokens == trust.WayIntrospection {
		return nil // introspection has said who it is, and there are no visas to be had
	}
	if failure != nil {
		return failure
	}
	switch {
	case !info.Subject.Present || !identifier(info.Subject.Value):
		return refuse(trust.ReasonProvider, "the issuer's UserInfo does not say whom it is about (sub), so nothing of it is used")
	case info.Issuer.Present && info.Issuer.Value != w.policy.Issuer:
		return refuse(trust.ReasonProvider, "the issuer's UserInfo says that it is of another issuer (iss), so nothing of it is used")
	case r.identity.Subject != "" && info.Subject.Value != r.identity.Subject:
		return refuse(trust.ReasonProvider, "the issuer's UserInfo is about somebody else (sub) than the access token, so nothing of it is used")
	case !info.Expires.IsZero() && !m.now.Before(info.Expires.Time):
		return refuse(trust.ReasonProvider, "the issuer's UserInfo has expired, so nothing of it is used")
	case len(info.Visas.visas) > maxVisas:
		return refuse(trust.ReasonTooMany, "the issuer gives more than %d visas", maxVisas)
	}
	r.identity = trust.Identity{Issuer: w.policy.Issuer, Subject: info.Subject.Value}
	r.until = earliest(r.until, info.Expires.Time)
	if p.Login {
		return nil
	}
	found, absent := d.resolver.Resolve(ctx, w.policy.Issuer, payload, m.now)
	r.absent = absent
	r.gather(w.policy, info.Visas.visas, found)
	for _, a := range r.absent {
		d.options.Log.Warn("a claim that an issuer pointed to could not be had", "issuer", w.policy.Issuer,
			"claim", fmt.Sprintf("%.80q", a.Name), "source", a.Source, "why", a.Why)
	}
	return nil
}

// gather makes sets of the visas: one that the issuer vouches for if this site takes
// passports of it, and one for each claim that was resolved.
func (r *record) gather(policy trust.IssuerPolicy, visas []string, found []claims.Found) {
	for _, a := range r.absent {
		if a.Conflict && a.Name == passportClaim {
			visas = nil // said twice, so it is not used (passports.md, row 88)
		}
	}
	if !policy.Is(trust.KindPassport) {
		visas = nil
	}
	total := len(visas)
	r.take(trust.KindPassport, visas, time.Time{})
	for _, f := range found {
		var list visaList
		if list.UnmarshalJSON(f.Value) != nil {
			r.absent = append(r.absent, claims.Absent{Name: f.Name, Source: f.Source, Why: "it is not an array of visas"})
			continue
		}
		if total += len(list.visas); total > maxVisas {
			total -= len(list.visas)
			r.absent = append(r.absent, claims.Absent{Name: f.Name, Source: f.Source, Why: "there are more visas than are read"})
			continue
		}
		r.take(trust.KindClaims, list.visas, f.Until)
	}
}

func (r *record) take(via trust.Kind, visas []string, until time.Time) {
	if len(visas) == 0 {
		return
	}
	set := trust.VisaSet{Identity: r.identity, Via: via, Until: until}
	for _, compact := range visas {
		set.Visas = append(set.Visas, trust.NewPassport(compact))
	}
	r.sets = append(r.sets, set)
}

// askUserInfo gives the response, read out of JSON or out of a JWT that holds. A
// response of any other kind is nothing (passports.md, row 68).
func (d *Desk) askUserInfo(ctx context.Context, m moment, w whose, token trust.AccessToken) (info userInfo, payload []byte, _ *failure) {
	leave, err := d.gates.enter(ctx, w.policy.Issuer)
	if err != nil {
		return info, nil, d.failed(ctx, "UserInfo", w.policy.Issuer, err)
	}
	document, err := d.options.Provider.UserInfo(ctx, w.policy, token)
	leave()
	if err != nil {
		failure := d.failed(ctx, "UserInfo", w.policy.Issuer, err)
		if errors.Is(err, ErrNoWay) {
			failure.cause = ErrNoWay
		}
		return info, nil, failure
	}
	payload, until, failure := d.read(ctx, m, w.policy, document, passport.UserInfoJWT)
	if failure != nil {
		return info, nil, failure
	}
	if err := jose.Unmarshal(payload, &info); err != nil {
		return userInfo{}, nil, unreadable("UserInfo", err)
	}
	info.Expires.Time = earliest(info.Expires.Time, until)
	return info, payload, nil
}

// names are what documents are called, and their media types when they are signed.
var names = map[passport.TokenKind]struct{ what, signed string }{
	passport.UserInfoJWT:      {"UserInfo", "application/jwt"},
	passport.IntrospectionJWT: {"introspection", "application/token-introspection+jwt"}, // RFC 9701, section 5
}

// read gives the bytes of a document that is JSON, or a JWT that holds, and then until
// when it does.
func (d *Desk) read(ctx context.Context, m moment, policy trust.IssuerPolicy, document Document, kind passport.TokenKind) (payload []byte, until time.Time, _ *failure) {
	what, signed := names[kind].what, names[kind].signed
	if len(document.Body) > maxDocumentBytes {
		return nil, until, refuse(trust.ReasonProvider, "the issuer's %s has more than %d bytes", what, maxDocumentBytes)
	}
	mediaType, _, err := mime.ParseMediaType(document.MediaType)
	switch {
	case err == nil && mediaType == "application/json":
		return document.Body, until, nil
	case err == nil && mediaType == signed:
		token, err := d.options.Tokens(ctx, passport.TokenRequest{
			Kind: kind, Compact: string(document.Body), Issuer: policy.Issuer, Audience: d.audience(policy), Now: m.now,
		})
		if err != nil {
			return nil, until, unreadable(what, err)
		}
		return token.Payload, token.Expires, nil
	}
	return nil, until, refuse(trust.ReasonProvider, "the issuer's %s is neither application/json nor %s, so nothing of it is used", what, signed)
}

// wrapped is what a failure says of its own origin, nil for none.
func (f *failure) wrapped() error {
	if f == nil {
		return nil
	}
	return f.cause
}

// identifier tells whether s can name a person: something, not too long, and nothing
// in it that does not print (OpenID Connect Core 1.0, section 2).
func identifier(s string) bool {
	return s != "" && utf8.RuneCountInString(s) <= maxSubject && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
