package idp_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/simulate/idp"
)

// What one client was given is of no use to another, at another address or later.
func TestCodesAndTokensAreTheirClientsOwn(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	w.Now = func() time.Time { return now }
	w.ok(w.AddClients(broker, idp.Client{ID: "other", RedirectURIs: []string{callback}}))
	redeem := func(change map[string]string) any {
		_, query, _ := w.authorize(nil)
		form := map[string]string{"grant_type": "authorization_code", "client_id": "cli", "code": query.Get("code"),
			"redirect_uri": "http://127.0.0.1:4711/callback", "code_verifier": verifier}
		for name, value := range change {
			form[name] = value
		}
		if change["late"] != "" {
			now = now.Add(time.Hour)
		}
		var flat []string
		for name, value := range form {
			flat = append(flat, name, value)
		}
		_, reply := w.post("token", "", flat...)
		return reply["error"]
	}
	for name, change := range map[string]map[string]string{
		"client": {"client_id": "other"}, "address": {"redirect_uri": "http://127.0.0.1:4712/callback"}, "verifier": {"code_verifier": verifier + "1"}, "late": {"late": "yes"},
	} {
		if got := redeem(change); got != "invalid_grant" {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := redeem(nil); got != nil {
		t.Error(got)
	}

	reply := w.signIn()
	refresh := func(client, scope string) map[string]any {
		_, answer := w.post("token", "", "grant_type", "refresh_token", "client_id", client, "refresh_token", reply["refresh_token"].(string), "scope", scope)
		return answer
	}
	if got := refresh("other", ""); got["error"] != "invalid_grant" {
		t.Error("another client's refresh token:", got)
	}
	if got := refresh("cli", "openid admin"); got["error"] != "invalid_scope" {
		t.Error("more than was given:", got)
	}
	reply = w.signIn()
	if got := refresh("cli", "openid"); got["scope"] != "openid" {
		t.Error("less than was given:", got)
	}
	reply = w.signIn()
	now = now.Add(2 * time.Hour)
	if status, _, _ := w.get(w.at("userinfo"), reply["access_token"].(string)); status != 401 {
		t.Error("an access token after its end:", status)
	}
	now = now.Add(60 * 24 * time.Hour)
	if got := refresh("cli", ""); got["error"] != "invalid_grant" {
		t.Error("a refresh token after its end:", got)
	}

	_, device := w.post("device_authorization", "", "client_id", "cli", "scope", "openid")
	w.ok(w.Approve(broker, device["user_code"].(string), ""))
	if _, got := w.post("token", "", "grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", "other", "device_code", device["device_code"].(string)); got["error"] != "invalid_grant" {
		t.Error("another client's device code:", got)
	}
}

// Only those may exchange tokens and introspect that were told they may.
func TestClientsMayDoWhatTheyWereRegisteredFor(t *testing.T) {
	w := newWorld(t)
	w.ok(w.AddClients(broker, idp.Client{ID: "uhn", Secret: "a secret"}))
	token, err := w.AccessToken(broker, "rosalind", "cli")
	w.ok(err)
	_, reply := w.post("token", "a secret", "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange",
		"requested_token_type", passportURN, "subject_token_type", accessURN, "subject_token", token)
	if reply["error"] != "unauthorized_client" {
		t.Error(reply)
	}
	if status, reply := w.post("introspect", "", "client_id", "cli", "token", token); status != 401 || reply["active"] != nil {
		t.Error("a public client:", status, reply)
	}
	if _, reply := w.post("token", "a secret", "grant_type", "refresh_token", "client_assertion", "a.b.c"); reply["error"] != "invalid_request" {
		t.Error("two ways at once:", reply)
	}
	if _, reply := w.post("token", "", "client_id", "cli", "client_id", "cli"); reply["error"] != "invalid_request" {
		t.Error("a parameter twice:", reply)
	}
}

func TestAnswersWithTokensAreNotKept(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"token", "userinfo", "introspect", "device_authorization", "claims"} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", w.at(path), strings.NewReader(url.Values{"client_id": {"cli"}}.Encode()))
		w.ok(err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, err := w.http.Do(r)
		w.ok(err)
		response.Body.Close()
		if response.Header.Get("Cache-Control") != "no-store, no-cache" || response.Header.Get("Pragma") != "no-cache" {
			t.Error(path, response.Header)
		}
	}
}
