package passport

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// FuzzVerifyPassport signs whatever passport payload, visa header and visa
// payload come up with keys that are trusted, so that only the rules are left
// to refuse. What passes is held against the rules again, read by the standard
// library.
func FuzzVerifyPassport(f *testing.F) {
	w := newWorldOf(f, newEC(), newEC(), newEC(), newEC()) // RSA is too slow under the fuzzer
	f.Fuzz(func(t *testing.T, passportPayload, visaPayload string, unsigned string) {
		visa := w.institute.Sign(jose.Header{Type: "JWT", JKU: instituteURL + "/jwks"}, []byte(visaPayload))
		passport := w.broker.Sign(jose.Header{Type: passportType}, []byte(passportPayload))
		whole := w.passport(visa, unsigned)
		for _, token := range []string{passport, unsigned, whole} {
			verdict, err := w.verifier.Verify(context.Background(), Request{Passports: []string{token}, Now: now})
			if err != nil {
				reasonOf(t, err)
				if !verdict.Caller.Anonymous() {
					t.Errorf("a refusal came with %+v", verdict.Caller)
				}
				continue
			}
			if token == unsigned && token != passport && token != whole {
				t.Errorf("%q passed", token)
			}
			checkCaller(t, verdict, passportPayload, token == passport)
		}
	})
}

func checkCaller(t *testing.T, verdict Verdict, payload string, fuzzed bool) {
	caller := verdict.Caller
	if caller.Issuer != brokerURL || caller.Subject == "" || !caller.Until.After(now) || !utf8.ValidString(caller.Subject) {
		t.Errorf("%+v", caller)
	}
	if fuzzed {
		var claims struct {
			Sub  string
			Exp  float64
			List []string `json:"ga4gh_passport_v1"`
		}
		if err := json.Unmarshal([]byte(payload), &claims); err != nil || claims.Sub != caller.Subject || claims.Exp <= float64(now.Unix()) || claims.List == nil {
			t.Errorf("%q passed: %v", payload, err)
		}
	}
	for _, visa := range caller.Visas {
		if visa.Issuer != instituteURL || visa.Source != instituteURL || !visa.Expires.After(now) || visa.Subject == "" || visa.Value == "" ||
			!slices.Contains([]string{trust.VisaAffiliationAndRole, trust.VisaResearcherStatus, "https://ras.nih.gov/visas/v1.1"}, visa.Type) {
			t.Errorf("%+v", visa)
		}
	}
	for _, visa := range verdict.Visas {
		for _, text := range []string{visa.Issuer, visa.Subject, visa.Type, visa.Value, visa.Source, visa.By, visa.Detail} {
			if text != "" && !identifier(text, maxLinkValue) {
				t.Errorf("%q is not safe to show", text)
			}
		}
	}
}
