package oidc

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/polling"
)

// Row 68: JSON and signed answers come as they are, with their media type.
func TestUserInfo(t *testing.T) {
	p := newIDP(t)
	for media, body := range map[string]string{"application/json": `{"sub":"x"}`, "application/json; charset=utf-8": "not even JSON", "Application/JWT": "a.b.c"} {
		p.on("/userinfo", says(media, body))
		got, err := p.provider(t).UserInfo(t.Context(), p.policy(), token)
		if err != nil || got.MediaType != media || string(got.Body) != body {
			t.Errorf("%s: %+v, %v", media, got, err)
		}
	}
	r := p.last(t)
	if r.method != http.MethodGet || r.path != "/userinfo" || r.query != "" || r.authorization != "Bearer "+token.Reveal() || r.accept != "application/json, application/jwt" || len(r.form) != 0 {
		t.Errorf("asked with %+v", r)
	}
}

// Row 65: an endpoint that is not configured is not guessed, and what cannot be a
// token is not sent.
func TestNothingIsGuessed(t *testing.T) {
	p := newIDP(t)
	policy := p.policy()
	policy.Endpoints = trust.Endpoints{}
	for which, op := range operations() {
		if which == "Claims" {
			policy.Claims.Endpoints = []string{"https://"}
		}
		if err := op.do(p.provider(t), t.Context(), policy); !errors.Is(err, bearer.ErrNoWay) {
			t.Errorf("%s: %v", which, err)
		}
	}
	for _, bad := range []string{"", "two words", "a\r\nX-Evil: 1", "a\x00", "töken", "a=b", "=", "a,b"} {
		if _, err := p.provider(t).UserInfo(t.Context(), p.policy(), trust.NewAccessToken(bad)); !errors.Is(err, bearer.ErrRefused) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if seen := p.seen(); len(seen) != 0 {
		t.Errorf("asked: %+v", seen)
	}
	broken := p.provider(t)
	broken.o.Endpoints = func(context.Context, trust.IssuerPolicy) (trust.Endpoints, error) {
		return trust.Endpoints{}, errors.New("no document")
	}
	if _, err := broken.UserInfo(t.Context(), p.policy(), token); !errors.Is(err, bearer.ErrUnavailable) || !strings.Contains(err.Error(), "no document") {
		t.Errorf("without discovery: %v", err)
	}
	broken = p.provider(t)
	broken.o.Client = func(trust.IssuerPolicy) (*http.Client, error) { return nil, errors.New("no CA") }
	if _, err := broken.UserInfo(t.Context(), p.policy(), token); !errors.Is(err, bearer.ErrNoWay) {
		t.Errorf("without CA: %v", err)
	}
	if _, err := New(Options{}); err == nil {
		t.Error("a provider without endpoints was made")
	}
}

// Rows 82, 83 and 87: application/jwt alone is taken, the token goes in the header,
// and only an endpoint that is listed for the source is asked.
func TestClaims(t *testing.T) {
	p := newIDP(t)
	p.on("/claims", says("application/jwt", "a.b.c"))
	provider, policy := p.provider(t), p.policy()
	got, err := provider.Claims(t.Context(), policy, p.URL+"/claims", token)
	if err != nil || string(got) != "a.b.c" {
		t.Errorf("%q, %v", got, err)
	}
	if r := p.last(t); r.method != http.MethodGet || r.authorization != "Bearer "+token.Reveal() || r.query != "" || r.accept != "application/jwt" {
		t.Errorf("asked with %+v", r)
	}
	// Without a token none is sent, or the one that was agreed upon with the source.
	if _, err := provider.Claims(t.Context(), policy, p.URL+"/claims", trust.AccessToken{}); err != nil || p.last(t).authorization != "" {
		t.Errorf("%+v, %v", p.last(t), err)
	}
	policy.Claims.Token = trust.NewAccessToken("agreed")
	if _, err := provider.Claims(t.Context(), policy, p.URL+"/claims", trust.AccessToken{}); err != nil || p.last(t).authorization != "Bearer agreed" {
		t.Errorf("%+v, %v", p.last(t), err)
	}
	asked := len(p.seen())
	elsewhere := listening(t)
	for _, address := range []string{elsewhere.URL, p.URL + "/claims/", p.URL + "/claims?x=1", p.URL + "/Claims", p.URL, "https://169.254.169.254/", "", strings.Replace(p.URL, "https", "http", 1) + "/claims"} {
		if _, err := provider.Claims(t.Context(), policy, address, token); !errors.Is(err, bearer.ErrNoWay) {
			t.Errorf("%q: %v", address, err)
		}
	}
	if n := len(p.seen()); n != asked {
		t.Errorf("%d requests to endpoints that are not listed", n-asked)
	}
	for _, media := range []string{"application/json", "text/html", "application/jwt+json", "application/at+jwt"} {
		p.on("/claims", says(media, "a.b.c"))
		if _, err := provider.Claims(t.Context(), policy, p.URL+"/claims", token); !errors.Is(err, bearer.ErrUnavailable) {
			t.Errorf("%s: %v", media, err)
		}
	}
	p.on("/claims", status(401, "", ""))
	before := len(p.seen())
	if _, err := provider.Claims(t.Context(), policy, p.URL+"/claims", token); !errors.Is(err, bearer.ErrRefused) || len(p.seen()) != before+1 {
		t.Errorf("401: %v, after %d requests", err, len(p.seen())-before)
	}
}

// Rows 57, 59 and 60: a visa is confirmed by an answer about its own person, and
// replaced by the visas in it. What cannot be followed counts as taken back, and
// trouble on the way leaves the question open.
func TestPoll(t *testing.T) {
	p := newIDP(t)
	visa := trust.NewPassport(jwt(t, `{"iss":"`+p.URL+`","sub":"ada","scope":"openid"}`))
	ends := []error{polling.ErrRefused, polling.ErrUnusable, polling.ErrUnchanged}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		visas  []string
		err    error
	}{
		"confirmed":      {says(mediaJSON, `{"sub":"ada","_claim_names":{"other":"x"}}`), nil, polling.ErrUnchanged},
		"replaced":       {says(mediaJSON, `{"sub":"ada","ga4gh_passport_v1":["a.b.c","d.e.f"]}`), []string{"a.b.c", "d.e.f"}, nil},
		"none left":      {says(mediaJSON, `{"sub":"ada","ga4gh_passport_v1":[]}`), []string{}, nil},
		"null":           {says(mediaJSON, `{"sub":"ada","ga4gh_passport_v1":null}`), nil, polling.ErrUnusable},
		"other person":   {says(mediaJSON, `{"sub":"bob","ga4gh_passport_v1":["a.b.c"]}`), nil, polling.ErrUnusable},
		"nobody":         {says(mediaJSON, `{"ga4gh_passport_v1":["a.b.c"]}`), nil, polling.ErrUnusable},
		"sub twice":      {says(mediaJSON, `{"sub":"ada","sub":"bob"}`), nil, polling.ErrUnusable},
		"text for a set": {says(mediaJSON, `{"sub":"ada","ga4gh_passport_v1":"a.b.c"}`), nil, polling.ErrUnusable},
		"null in a set":  {says(mediaJSON, `{"sub":"ada","ga4gh_passport_v1":[null]}`), nil, polling.ErrUnusable},
		"elsewhere":      {says(mediaJSON, `{"sub":"ada","_claim_names":{"ga4gh_passport_v1":"x"}}`), nil, polling.ErrUnusable},
		"odd elsewhere":  {says(mediaJSON, `{"sub":"ada","_claim_names":[]}`), nil, polling.ErrUnusable},
		"signed":         {says(mediaJWT, "a.b.c"), nil, polling.ErrUnusable},
		"revoked":        {status(401, "", ""), nil, polling.ErrRefused},
		"bad request":    {status(400, "", ""), nil, polling.ErrRefused},
		"forbidden":      {status(403, "", ""), nil, polling.ErrRefused},
		"down":           {status(503, "", ""), nil, bearer.ErrUnavailable},
		"busy":           {status(429, "", ""), nil, bearer.ErrUnavailable},
		"web page":       {says("text/html", "<html>"), nil, bearer.ErrUnavailable},
	} {
		p.on("/userinfo", test.answer)
		got, err := p.provider(t).Poll(t.Context(), p.policy(), visa)
		if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) || !slices.Equal(got, test.visas) || (got == nil) != (test.visas == nil) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		for _, end := range ends {
			if errors.Is(err, end) && end != test.err {
				t.Errorf("%s: %v is also %v", name, err, end)
			}
		}
	}
	if r := p.last(t); r.authorization != "Bearer "+visa.Compact() || r.query != "" {
		t.Errorf("asked with %+v", r)
	}
	asked := len(p.seen())
	for _, bad := range []string{"", "no visa", jwt(t, `{"iss":"x"}`), jwt(t, `{"sub":7}`)} {
		if _, err := p.provider(t).Poll(t.Context(), p.policy(), trust.NewPassport(bad)); !errors.Is(err, polling.ErrRefused) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if len(p.seen()) != asked {
		t.Error("something that is no visa was sent")
	}
	var _ polling.Fetch = p.provider(t).Poll
}

func FuzzPoll(f *testing.F) {
	f.Add([]byte(`{"sub":"ada","ga4gh_passport_v1":["a.b.c"]}`))
	f.Add([]byte(`{"sub":"bob","ga4gh_passport_v1":[]}`))
	f.Add([]byte(`{"sub":"ada","ga4gh_passport_v1":null}`))
	f.Add([]byte(`{"Sub":"ada"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		visas, present, wrong := readPoll(body, "ada")
		if (visas != nil) != present || wrong != "" && present {
			t.Errorf("%q, %t, %s", visas, present, wrong)
		}
		if wrong == "" && !strings.Contains(string(body), "sub") && !strings.Contains(string(body), `\u`) {
			t.Error("an answer about nobody was taken")
		}
	})
}
