package idp

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
)

// The typ of what the issuers sign.
const (
	typeVisa     = "vnd.ga4gh.visa+jwt"
	typePassport = "vnd.ga4gh.passport+jwt"
	typeAccess   = "at+jwt"
	typeJWT      = "JWT"
)

// Grant is one visa: of the pretend committee for a dataset, unless it says
// otherwise.
type Grant struct {
	Value  string
	Source string

	Issuer     string    // which of the server's issuers signs it; "": the last
	Subject    string    // "": the researcher's
	Type       string    // "": ControlledAccessGrants
	By         string    // "": dac
	Asserted   time.Time // zero: a day before it is signed
	Expires    time.Time // zero: Life after it is signed
	Conditions any       // as is; nil: none
	// AccessToken makes the deprecated form: scope openid, no jku, good at its issuer's
	// UserInfo endpoint until it is revoked there.
	AccessToken bool
	Object      map[string]any // further members of ga4gh_visa_v1; nil values take members away
	Claims      map[string]any // further claims beside it; nil values take claims away
	Raw         string         // stands in place of everything else, byte for byte
}

// LinkedIdentities is a visa by which issuer says that the researcher's subject
// there is the same person as others.
func LinkedIdentities(issuer, subject, source string, others ...trust.Identity) Grant {
	return Grant{Issuer: issuer, Subject: subject, Type: trust.VisaLinkedIdentities, Source: source, By: "system", Value: linkValue(others)}
}

// Researcher is whom a passport is for.
type Researcher struct {
	Subject  string
	Audience []string // of Passport, client ids; empty: a passport without aud
	Visas    []Grant

	Name    string         // what login_hint names besides the subject
	Claims  map[string]any // further claims of ID tokens and UserInfo
	Sources []Source       // where further claims of UserInfo are to be had
}

// Source makes UserInfo name a source for a claim (OpenID Connect Core 1.0, section
// 5.6.2). Claim is served at the Issuer's claims endpoint, for a researcher who is
// registered there.
type Source struct {
	Claim   string // "": ga4gh_passport_v1
	Issuer  string // another of the server's issuers
	Subject string // whom it knows there
	// Aggregated puts the issuer's signed answer into UserInfo itself; otherwise its
	// address and an access token are named.
	Aggregated bool
	// Endpoint, Token and JWT replace what would be right, for hostile tests.
	Endpoint, Token, JWT string
}

func (s Source) claim() string {
	if s.Claim == "" {
		return claimPassport
	}
	return s.Claim
}

// Visa signs one visa about a subject, valid from now.
func (s *Server) Visa(g Grant, subject string, now time.Time) (string, error) {
	if g.Raw != "" {
		return g.Raw, nil
	}
	first := func(text, otherwise string) string {
		if text == "" {
			return otherwise
		}
		return text
	}
	asserted, expires := g.Asserted, g.Expires
	if asserted.IsZero() {
		asserted = now.Add(-24 * time.Hour)
	}
	if expires.IsZero() {
		expires = now.Add(Life)
	}
	object := map[string]any{
		"type": first(g.Type, trust.VisaControlledAccessGrants), "asserted": asserted.Unix(),
		"value": g.Value, "source": g.Source, "by": first(g.By, "dac"), "conditions": g.Conditions,
	}
	maps.Copy(object, g.Object)
	maps.DeleteFunc(object, func(_ string, value any) bool { return value == nil })
	issuer := first(g.Issuer, s.names[len(s.names)-1])
	p, err := s.provider(issuer)
	if err != nil {
		return "", err
	}
	claims := map[string]any{"sub": first(g.Subject, subject), "exp": expires.Unix(), "scope": "ga4gh", "ga4gh_visa_v1": object}
	typ := typeVisa
	if g.AccessToken {
		typ, claims["scope"] = typeJWT, "openid ga4gh"
	}
	maps.Copy(claims, g.Claims)
	visa, err := s.sign(issuer, typ, now, claims)
	if err == nil && g.AccessToken {
		p.remember(visa, &token{kind: visaToken, subject: first(g.Subject, subject), scope: []string{scopeOpenID}, expires: expires})
	}
	return visa, err
}

// Visas signs the researcher's visas, in order.
func (s *Server) Visas(r Researcher, now time.Time) ([]string, error) {
	visas := []string{}
	for i, g := range r.Visas {
		visa, err := s.Visa(g, r.Subject, now)
		if err != nil {
			return nil, fmt.Errorf("visa %d: %w", i, err)
		}
		visas = append(visas, visa)
	}
	return visas, nil
}

// Passport signs a passport by the first of the server's issuers around the
// researcher's visas, valid from now for Life.
func (s *Server) Passport(r Researcher, now time.Time) (string, error) {
	return s.PassportOf(s.names[0], r, now.Add(Life), now)
}

// PassportOf signs a passport by the named issuer, valid from now until expires.
func (s *Server) PassportOf(issuer string, r Researcher, expires, now time.Time) (string, error) {
	visas, err := s.Visas(r, now)
	if err != nil {
		return "", err
	}
	claims := map[string]any{"sub": r.Subject, claimPassport: visas, "exp": expires.Unix()}
	if len(r.Audience) > 0 {
		claims["aud"] = r.Audience
	}
	return s.sign(issuer, typePassport, now, claims)
}

// Register makes researchers known to an issuer. One with the subject of another
// takes its place. The first is signed in where a request names nobody.
func (s *Server) Register(issuer string, researchers ...Researcher) error {
	p, err := s.provider(issuer)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range researchers {
		same := func(known Researcher) bool { return known.Subject == r.Subject }
		if at := slices.IndexFunc(p.researchers, same); at >= 0 {
			p.researchers[at] = r
		} else {
			p.researchers = append(p.researchers, r)
		}
	}
	return nil
}

// researcher finds a registered researcher by name or subject; "" is the first.
func (p *provider) researcher(hint string) (Researcher, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.researchers {
		if hint == "" || r.Subject == hint || r.Name == hint {
			return r, true
		}
	}
	return Researcher{}, false
}

// linkValue writes the value of a LinkedIdentities visa (GA4GH Passport 1.2,
// "LinkedIdentities").
func linkValue(others []trust.Identity) string {
	var text []byte
	for i, other := range others {
		if i > 0 {
			text = append(text, ';')
		}
		text = append(text, percent(other.Subject)+","+percent(other.Issuer)...)
	}
	return string(text)
}

func encoded(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return []byte("null") // nothing that is written here fails
	}
	return text
}
