package api_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/candignode/candignode/api"
)

// node answers every request with the same status, media type and body.
func node(t *testing.T, status int, mediaType, body string) api.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return api.Client{BaseURL: server.URL}
}

const (
	part  = `{"part":{"site":"chus","node":"n","status":"unreachable","took_ms":0,"error":{"code":"unreachable","message":"no connection"}}}` + "\n"
	whole = `{"answer":{"transaction":"tx","granularity":"count","exists":true,"count":71,"complete":false,"sites":[{"site":"uhn","node":"n","status":"ok","took_ms":12,` +
		`"datasets":[{"dataset":"cohort","granularity":"count","exists":true,"count":71,"precision":"exact"}]}]},"beacon":{}}` + "\n"
)

func TestAnswersAreReadLineByLine(t *testing.T) {
	var seen []api.Site
	answer, err := node(t, 200, api.MediaTypeLines, part+whole).Query(t.Context(), api.Question{}, func(s api.Site) { seen = append(seen, s) })
	if err != nil || *answer.Count != 71 || answer.Complete || len(seen) != 1 || seen[0].Error.Code != "unreachable" || *answer.Sites[0].Datasets[0].Count != 71 {
		t.Errorf("%+v, %v, saw %+v", answer, err, seen)
	}
}

// Half an answer is none: every cut of a good stream is an error.
func TestAnAnswerThatBrokeOffIsNone(t *testing.T) {
	stream := part + whole
	for cut := range len(stream) - 1 {
		if answer, err := node(t, 200, api.MediaTypeLines, stream[:cut]).Query(t.Context(), api.Question{}, nil); !errors.Is(err, api.ErrCutOff) {
			t.Fatalf("cut at %d: %+v, %v", cut, answer, err)
		}
	}
}

func TestRefusalsAreProblems(t *testing.T) {
	for name, c := range map[string]struct {
		mediaType, body, detail, reason, transaction string
	}{
		"problem details": {"application/problem+json", `{"type":"about:blank","title":"Unauthorized","status":401,"detail":"sign in again","reason":"expired","transaction":"tx"}`, "sign in again", "expired", "tx"},
		"Beacon":          {"application/json", `{"meta":{},"error":{"errorCode":401,"errorMessage":"sign in again"},"info":{"reason":"expired","transaction":"tx"}}`, "sign in again", "expired", "tx"},
		"a proxy's page":  {"text/html", "<html>no</html>", "", "", ""},
		"endless":         {"text/html", strings.Repeat("x", 100_000), "", "", ""},
		"nothing":         {"", "", "", "", ""},
	} {
		client := node(t, 401, c.mediaType, c.body)
		_, err := client.Query(t.Context(), api.Question{}, nil)
		_, errWho := client.Whoami(t.Context(), nil)
		for _, err := range []error{err, errWho} {
			var p *api.Problem
			if !errors.As(err, &p) || p.Status != 401 || p.Detail != c.detail || p.Reason != c.reason || p.Transaction != c.transaction || p.Error() == "" {
				t.Errorf("%s: %+v", name, err)
			}
		}
	}
}

func TestOtherAnswersAreNotTaken(t *testing.T) {
	for name, client := range map[string]api.Client{
		"a page":           node(t, 200, "text/html", whole),
		"a Beacon":         node(t, 200, "application/json", whole),
		"no such host":     {BaseURL: "http://127.0.0.1:1"},
		"no address":       {BaseURL: "::"},
		"whoami's own":     node(t, 200, "text/html", "<html>"),
		"too many parts":   node(t, 200, api.MediaTypeLines, strings.Repeat(part, 1001)+whole),
		"an unknown thing": node(t, 200, api.MediaTypeLines, "[]\n"),
	} {
		if answer, err := client.Query(t.Context(), api.Question{}, nil); err == nil {
			t.Errorf("%s: %+v", name, answer)
		}
	}
	if _, err := node(t, 200, "text/html", "<html>").Whoami(t.Context(), nil); err == nil {
		t.Error("a page was taken for a whoami")
	}
}

// A redirect could carry passports to somebody else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		t.Errorf("elsewhere got %s", body)
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, status)
		}))
		_, err := api.Client{BaseURL: server.URL, HTTP: server.Client()}.Whoami(t.Context(), []string{"secret"})
		var p *api.Problem
		if !errors.As(err, &p) || p.Status != status {
			t.Errorf("%d: %v", status, err)
		}
		server.Close()
	}
}

// What scripts read: these names are a promise.
func TestNamesThatScriptsRead(t *testing.T) {
	n := int64(0)
	for want, value := range map[string]any{
		`{"transaction":"","granularity":"","exists":false,"complete":false,"sites":null}`:                                api.Answer{},
		`{"site":"","node":"","status":"","took_ms":0}`:                                                                   api.Site{},
		`{"dataset":"","granularity":"","exists":false,"count":0}`:                                                        api.Dataset{Count: &n},
		`{"caller":{"iss":"","sub":"","linked":null},"passports":null,"visas":null}`:                                      api.Whoami{},
		`{"iss":"","sub":"","type":"","value":"","source":"","accepted":false,"reason":"expired","detail":"d","key":"k"}`: api.Visa{Reason: "expired", Detail: "d", Key: "k"},
		`{"type":"about:blank","title":"t","status":401,"detail":"d","reason":"expired"}`:                                 &api.Problem{Type: "about:blank", Title: "t", Status: 401, Detail: "d", Reason: "expired"},
		`{"passports":["a"]}`: api.WhoamiRequest{Passports: []string{"a"}},
	} {
		if got, err := json.Marshal(value); err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}
