package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/candignode/candignode/api"
)

// seen is a node that writes down what it is asked.
type seen struct {
	method, path, authorization, body string
}

func recording(t *testing.T, status int, reply string) (api.Client, *seen) {
	t.Helper()
	var saw seen
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		saw = seen{r.Method, r.URL.Path, r.Header.Get("Authorization"), string(body)}
		w.WriteHeader(status)
		io.WriteString(w, reply)
	}))
	t.Cleanup(server.Close)
	return api.Client{BaseURL: server.URL, Bearer: func() string { return "secret" }}, &saw
}

func TestTokensGoInTheHeaderOnly(t *testing.T) {
	client, saw := recording(t, 200, `{"caller":{"iss":"i","sub":"s","linked":[{"iss":"i2","sub":"s2","until":"2026-03-01T12:00:00Z"}]},"passports":[],"visas":[]}`)
	who, err := client.Whoami(t.Context(), nil)
	if err != nil || who.Caller.Linked[0].Until == nil {
		t.Fatal(who, err)
	}
	if want := (seen{"POST", "/v1/whoami", "Bearer secret", "{}"}); *saw != want {
		t.Errorf("%+v", *saw)
	}
	if text := fmt.Sprintf("%v %+v %#v", client, client, client); strings.Contains(text, "secret") {
		t.Error(text)
	}
}

// A token goes to nobody over an open line, and to no second host (row 71).
func TestTokensStayPrivate(t *testing.T) {
	client := api.Client{BaseURL: "http://node.example.org", Bearer: func() string { return "secret" }}
	if _, err := client.Whoami(t.Context(), nil); !errors.Is(err, api.ErrInsecure) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	other, saw := recording(t, 200, "{}")
	from := httptest.NewServer(http.RedirectHandler(other.BaseURL, http.StatusTemporaryRedirect))
	defer from.Close()
	var problem *api.Problem
	if _, err := (api.Client{BaseURL: from.URL, Bearer: client.Bearer}).Whoami(t.Context(), nil); !errors.As(err, &problem) || problem.Status != 307 || saw.method != "" {
		t.Error(err, *saw)
	}
}

func TestSessionsAndSignIn(t *testing.T) {
	client, saw := recording(t, 201, `{"id":"a b/c","session":"cgs_x","created":"2026-03-01T12:00:00Z","used":"2026-03-01T12:00:00Z","until":"2026-03-02T00:00:00Z"}`)
	session, err := client.StartSession(t.Context(), api.SessionRequest{})
	if err != nil || session.Token != "cgs_x" || session.Until.IsZero() || saw.method != "POST" || saw.path != "/v1/sessions" || saw.body != "{}" {
		t.Error(session, err, *saw)
	}
	if err := client.EndSession(t.Context(), session.ID); err != nil || saw.method != "DELETE" || saw.path != "/v1/sessions/a b/c" || saw.body != "" {
		t.Error(err, *saw)
	}
	client, saw = recording(t, 200, `{"resource":"https://node.example.org","authorization_servers":["https://idp"],"candignode_sign_in":[{"issuer":"https://idp","client_id":"cli"}],"jwks_uri":"x"}`)
	resource, err := client.Resource(t.Context())
	if err != nil || resource.SignIn[0].ClientID != "cli" || resource.AuthorizationServers[0] != "https://idp" || saw.method != "GET" || saw.path != "/.well-known/oauth-protected-resource" {
		t.Error(resource, err, *saw)
	}
	for _, reply := range []string{"<html>", strings.Repeat(" ", 1<<20) + "{}"} {
		client, _ = recording(t, 200, reply)
		if _, err := client.Resource(t.Context()); err == nil {
			t.Error("a page that is no answer was taken")
		}
	}
	client, _ = recording(t, 401, `{"title":"Unauthorized","status":401,"reason":"expired"}`)
	var problem *api.Problem
	if _, err := client.StartSession(t.Context(), api.SessionRequest{}); !errors.As(err, &problem) || problem.Reason != "expired" {
		t.Error(err)
	}
	if err := client.EndSession(t.Context(), "x"); !errors.As(err, &problem) {
		t.Error(err)
	}
}

func TestNamesOfSignIn(t *testing.T) {
	if got, err := json.Marshal(api.ProtectedResource{Resource: "r", SignIn: []api.SignIn{{}}}); err != nil || string(got) != `{"resource":"r","candignode_sign_in":[{"issuer":"","client_id":""}]}` {
		t.Error(string(got), err)
	}
}
