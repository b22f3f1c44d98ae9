package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/node/web"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/passport"
)

// world is one site's public door with desks behind it that say what a test
// wants them to.
type world struct {
	http.Handler
	mu       sync.Mutex
	asked    []query.Request // by any desk, in order
	callers  []trust.Caller
	shown    []web.Shown // to the verifier
	sessions *sessions
	refusals []refusal
	log      bytes.Buffer

	say       func(ctx context.Context, r query.Request) ([]query.Part, error) // the desks' answer
	recording error                                                            // what recording a refusal gives
	ready     error
	aboutFunc func() beacon.About
}

type refusal struct {
	transaction string
	reason      trust.Reason
	credentials []trust.Digest
}

// The passports that the world's verifier knows.
const (
	alicesPassport  = "eyJhbGciOiJSUzI1NiJ9.YWxpY2U.c2ln"
	expiredPassport = "eyJhbGciOiJSUzI1NiJ9.ZXhwaXJlZA.c2ln"
	hugePassport    = "eyJhbGciOiJSUzI1NiJ9.aHVnZQ.c2ln"
)

func newWorld(t *testing.T, change ...func(*web.Options)) *world {
	t.Helper()
	w := &world{say: yes, sessions: newSessions()}
	w.aboutFunc = func() beacon.About {
		return beacon.About{Site: "uhn", URL: "https://node.uhn.example.org", Levels: []access.Level{access.Controlled}}
	}
	o := web.Options{
		Local: siteDesk{w}, Network: networkDesk{w}, Verify: w.verify, Refused: w.refused,
		About: func() beacon.About { return w.aboutFunc() }, Ready: func() error { return w.ready },
		Log: slog.New(slog.NewTextHandler(lockedWriter{w}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&o)
	}
	handler, err := web.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.Handler = handler
	return w
}

type lockedWriter struct{ w *world }

func (l lockedWriter) Write(b []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.log.Write(b)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *world) hear(caller trust.Caller, r query.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked, w.callers = append(w.asked, r), append(w.callers, caller)
}

func (w *world) refused(_ context.Context, transaction string, reason trust.Reason, credentials []trust.Digest) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusals = append(w.refusals, refusal{transaction, reason, credentials})
	return w.recording
}

func yes(context.Context, query.Request) ([]query.Part, error) {
	n := int64(71)
	return []query.Part{{Site: "uhn", Node: "node-uhn", Status: query.OK, TookMS: 3, Datasets: []query.DatasetAnswer{
		{Dataset: "cohort", Granularity: query.Count, Exists: true, Count: &n, Precision: query.Exact}}}}, nil
}

type siteDesk struct{ w *world }

func (d siteDesk) Ask(ctx context.Context, caller trust.Caller, r query.Request) (query.Answer, error) {
	d.w.hear(caller, r)
	parts, err := d.w.say(ctx, r)
	return query.Answer{Transaction: r.Transaction, Granularity: r.Granularity, Parts: parts}, err
}

type networkDesk struct{ w *world }

func (d networkDesk) Ask(ctx context.Context, caller trust.Caller, r query.Request) (query.Answer, error) {
	return d.AskEach(ctx, caller, r, func(query.Part) {})
}

func (d networkDesk) AskEach(ctx context.Context, caller trust.Caller, r query.Request, each func(query.Part)) (query.Answer, error) {
	d.w.hear(caller, r)
	parts, err := d.w.say(ctx, r)
	for _, p := range parts {
		each(p)
	}
	return query.Answer{Transaction: r.Transaction, Granularity: r.Granularity, Parts: parts}, err
}

// The tokens that the world's verifier knows. A bound one is good with its key only.
const (
	alicesToken  = "alices.opaque-secret"
	boundToken   = "bound.opaque-secret"
	downToken    = "down.opaque-secret"
	scopelessTok = "scopeless.opaque-secret"
	alicesKey    = "alices-key"
)

// verdictOnToken is what the world's issuer says of a token or session.
func (w *world) verdictOnToken(shown web.Shown) error {
	refuse := func(reason trust.Reason) error {
		return &passport.Refusal{Reason: reason, Detail: "so it is", Index: -1}
	}
	switch shown.Token.Reveal() {
	case alicesToken:
		return nil
	case boundToken:
		if shown.Proven.JKT == alicesKey || shown.Proven.X5T != "" {
			return nil
		}
		return refuse(trust.ReasonNotProven)
	case downToken:
		return refuse(trust.ReasonProvider)
	case scopelessTok:
		return refuse(trust.ReasonScope)
	case "":
		_, err := w.sessions.Identify(context.Background(), shown.Session, shown.Proven)
		return err
	}
	return refuse(trust.ReasonExpired)
}

func (w *world) verify(ctx context.Context, shown web.Shown, _ bool) (passport.Verdict, error) {
	w.mu.Lock()
	w.shown = append(w.shown, shown)
	w.mu.Unlock()
	if len(shown.Passports) > 0 {
		return verify(shown.Passports)
	}
	if err := w.verdictOnToken(shown); err != nil {
		return passport.Verdict{}, err
	}
	verdict, err := verify([]string{alicesPassport})
	verdict.Caller.Token, verdict.Passports = shown.Token, nil
	return verdict, err
}

func verify(passports []string) (passport.Verdict, error) {
	for i, p := range passports {
		switch p {
		case alicesPassport:
		case hugePassport:
			return passport.Verdict{}, &passport.Refusal{Reason: trust.ReasonTooLarge, Detail: "too many bytes", Index: i}
		case expiredPassport:
			return passport.Verdict{}, &passport.Refusal{Reason: trust.ReasonExpired, Detail: "it expired yesterday; sign in again", Index: i}
		default:
			return passport.Verdict{}, errors.New("the verifier is broken")
		}
	}
	alice := trust.Identity{Issuer: "https://idp.uhn.example.org/", Subject: "alice"}
	until := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return passport.Verdict{
		Caller: trust.Caller{Identity: alice, Until: until, Passports: []trust.Passport{trust.NewPassport(passports[0])}},
		Until:  until,
		Passports: []passport.PassportVerdict{
			{Identity: alice, Accepted: true, Until: until},
		},
		Visas: []passport.VisaVerdict{
			{Identity: alice, Type: trust.VisaControlledAccessGrants, Value: "https://dac.example.org/d", Source: "https://dac.example.org", By: "dac", Accepted: true, Key: "thumb", Until: until},
			{Identity: alice, Type: trust.VisaControlledAccessGrants, Value: "https://dac.example.org/d", Source: "https://other.example.org", By: "dac",
				Reason: trust.ReasonUntrustedSource, Detail: "this site does not trust that source"},
		},
	}, nil
}

const snv = "assemblyId=GRCh37&referenceName=22&start=16050074&referenceBases=A&alternateBases=G"

// question is the body of a POSTed question, with passports.
func question(passports ...string) string {
	body, _ := json.Marshal(map[string]any{
		"meta": map[string]any{"apiVersion": "v2.0"}, "passports": passports,
		"query": map[string]any{"requestedGranularity": "count", "requestParameters": map[string]any{"g_variant": map[string]any{
			"assemblyId": "GRCh37", "referenceName": "22", "start": []int{16050074}, "referenceBases": "A", "alternateBases": "G"}}},
	})
	return string(body)
}

// send asks over loopback, as a proxy in front that ends TLS would.
func (w *world) send(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:40000"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, r)
	return answer
}

// beaconError is what an error on a Beacon path says.
type beaconError struct {
	Meta  map[string]any `json:"meta"`
	Error struct {
		Code    int    `json:"errorCode"`
		Message string `json:"errorMessage"`
	} `json:"error"`
	Info struct {
		Reason      string `json:"reason"`
		Transaction string `json:"transaction"`
	} `json:"info"`
}

func errorOf(t *testing.T, a *httptest.ResponseRecorder) beaconError {
	t.Helper()
	var e beaconError
	if err := json.Unmarshal(a.Body.Bytes(), &e); err != nil || e.Meta["beaconId"] == nil || e.Error.Code != a.Code {
		t.Fatalf("%d is not a Beacon error: %s", a.Code, a.Body)
	}
	return e
}
