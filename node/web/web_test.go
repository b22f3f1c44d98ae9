package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node/web"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
)

func TestInfoEndpointsAnswerBothRoots(t *testing.T) {
	w := newWorld(t)
	for _, root := range []string{"/beacon", "/network/beacon"} {
		for _, path := range []string{"", "/", "/info", "/service-info", "/configuration", "/map", "/entry_types", "/filtering_terms", "/g_variants", "/map/", "/info?requestedSchema=x&limit=0"} {
			a := w.send(http.MethodGet, root+path, "")
			if a.Code != http.StatusOK || a.Header().Get("Content-Type") != "application/json" || !json.Valid(a.Body.Bytes()) {
				t.Errorf("%s%s: %d %s", root, path, a.Code, a.Body)
			}
		}
	}
	for _, path := range []string{"/service-info", "/healthz", "/readyz"} {
		if a := w.send(http.MethodGet, path, ""); a.Code != http.StatusOK || !json.Valid(a.Body.Bytes()) {
			t.Errorf("%s: %d %s", path, a.Code, a.Body)
		}
	}
	if len(w.asked) != 0 {
		t.Errorf("an endpoint that describes asked a desk: %v", w.asked)
	}
	w.ready = errors.New("secret detail")
	if a := w.send(http.MethodGet, "/readyz", ""); a.Code != http.StatusServiceUnavailable || strings.Contains(a.Body.String(), "secret") {
		t.Errorf("not ready: %d %s", a.Code, a.Body)
	}
}

func TestQuestionsReachTheirDesk(t *testing.T) {
	w := newWorld(t)
	for name, a := range map[string]*httptest.ResponseRecorder{
		"GET site":     w.send(http.MethodGet, "/beacon/g_variants?"+snv+"&requestedGranularity=count", ""),
		"POST site":    w.send(http.MethodPost, "/beacon/g_variants", question()),
		"GET network":  w.send(http.MethodGet, "/network/beacon/g_variants?"+snv+"&requestedGranularity=count", ""),
		"POST network": w.send(http.MethodPost, "/network/beacon/g_variants", question(alicesPassport)),
	} {
		var got struct {
			Meta    struct{ BeaconID string }                        `json:"meta"`
			Summary struct{ NumTotalResults int }                    `json:"responseSummary"`
			Info    struct{ Transaction string }                     `json:"info"`
			Sets    struct{ ResultSets []struct{ BeaconID string } } `json:"response"`
		}
		if err := json.Unmarshal(a.Body.Bytes(), &got); err != nil || a.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", name, a.Code, a.Body)
		}
		network := strings.Contains(name, "network")
		if got.Summary.NumTotalResults != 71 || len(got.Info.Transaction) != 22 || a.Header().Get("X-Transaction-Id") != got.Info.Transaction ||
			(got.Sets.ResultSets[0].BeaconID == "uhn") != network || (got.Meta.BeaconID == "uhn.network") != network {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	transactions := map[string]bool{}
	for i, r := range w.asked {
		transactions[r.Transaction] = true
		if r.Variant.Start != 16050074 || r.Granularity != query.Count || r.Validate() != nil {
			t.Errorf("question %d arrived as %+v", i, r)
		}
	}
	if len(w.asked) != 4 || len(transactions) != 4 {
		t.Errorf("%d questions under %d transactions", len(w.asked), len(transactions))
	}
	named := 0
	for _, c := range w.callers {
		if c.Subject == "alice" && len(c.Passports) == 1 {
			named++
		}
	}
	if named != 1 {
		t.Errorf("%d of the callers are alice", named)
	}
}

// Row 135, V106: test mode is answered without a caller and without a desk.
func TestTestModeTouchesNoDesk(t *testing.T) {
	w := newWorld(t)
	const synthetic = "assemblyId=GRCh38&referenceName=22&start=16050000&end=16050200&requestedGranularity=count"
	for _, a := range []*httptest.ResponseRecorder{
		w.send(http.MethodGet, "/beacon/g_variants?testMode=true&"+synthetic, ""),
		w.send(http.MethodPost, "/network/beacon/g_variants", `{"passports":["`+expiredPassport+`"],"query":{"testMode":true,"requestedGranularity":"count",
			"requestParameters":{"assemblyId":"GRCh38","referenceName":"22","start":16050000,"end":16050200}}}`),
	} {
		if a.Code != http.StatusOK || !strings.Contains(a.Body.String(), `"numTotalResults":132`) || !strings.Contains(a.Body.String(), `"testMode":true`) {
			t.Errorf("%d %s", a.Code, a.Body)
		}
	}
	if len(w.asked)+len(w.refusals) != 0 {
		t.Errorf("test mode asked %v, refused %v", w.asked, w.refusals)
	}
}

func TestWhoami(t *testing.T) {
	w := newWorld(t)
	a := w.send(http.MethodPost, "/v1/whoami", `{"passports":["`+alicesPassport+`"]}`)
	const want = `{"caller":{"iss":"https://idp.uhn.example.org/","sub":"alice","linked":[]},"until":"2026-03-01T12:00:00Z",` +
		`"passports":[{"iss":"https://idp.uhn.example.org/","accepted":true}],` +
		`"visas":[{"iss":"https://idp.uhn.example.org/","sub":"alice","type":"ControlledAccessGrants","value":"https://dac.example.org/d","source":"https://dac.example.org","by":"dac","accepted":true,"key":"thumb","until":"2026-03-01T12:00:00Z"},` +
		`{"iss":"https://idp.uhn.example.org/","sub":"alice","type":"ControlledAccessGrants","value":"https://dac.example.org/d","source":"https://other.example.org","by":"dac","accepted":false,"reason":"untrusted_source","detail":"this site does not trust that source"}]}` + "\n"
	if a.Code != http.StatusOK || a.Body.String() != want {
		t.Errorf("%d\n%s", a.Code, a.Body)
	}
	// Row 71: nobody on the way keeps it.
	if h := a.Header(); !strings.Contains(h.Get("Cache-Control"), "no-store") || h.Get("Pragma") != "no-cache" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", h)
	}
	for _, body := range []string{`{}`, `{"passports":[]}`, `{"passports":null}`} {
		if a := w.send(http.MethodPost, "/v1/whoami", body); a.Code != http.StatusUnauthorized || a.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", body, a.Code, a.Body)
		}
	}
}

// Row 6, row 138: a bad passport refuses the request as a whole; the record
// names the bad one, and stands before the refusal leaves.
func TestOneBadPassportRefusesTheRequest(t *testing.T) {
	for path, body := range map[string]string{
		"/v1/whoami":                 `{"passports":["` + alicesPassport + `","` + expiredPassport + `"]}`,
		"/beacon/g_variants":         question(alicesPassport, expiredPassport),
		"/network/beacon/g_variants": question(alicesPassport, expiredPassport),
	} {
		w := newWorld(t)
		a := w.send(http.MethodPost, path, body)
		if a.Code != http.StatusUnauthorized || len(w.asked) != 0 {
			t.Fatalf("%s: %d %s, asked %v", path, a.Code, a.Body, w.asked)
		}
		reason, transaction := "", ""
		if path == "/v1/whoami" {
			var p api.Problem
			if err := json.Unmarshal(a.Body.Bytes(), &p); err != nil || a.Header().Get("Content-Type") != "application/problem+json" || p.Status != 401 {
				t.Fatalf("%s: %s", path, a.Body)
			}
			reason, transaction = p.Reason, p.Transaction
		} else {
			e := errorOf(t, a)
			reason, transaction = e.Info.Reason, e.Info.Transaction
		}
		want := refusal{transaction, trust.ReasonExpired, []trust.Digest{trust.DigestOf([]byte(expiredPassport))}}
		if reason != "expired" || len(w.refusals) != 1 || fmt.Sprint(w.refusals[0]) != fmt.Sprint(want) {
			t.Errorf("%s: reason %q, recorded %v", path, reason, w.refusals)
		}
		if strings.Contains(a.Body.String()+w.logged(), "eyJ") {
			t.Errorf("%s: a passport was shown: %s %s", path, a.Body, w.logged())
		}
	}
}

func TestNoRefusalWithoutItsRecord(t *testing.T) {
	w := newWorld(t)
	w.recording = errors.New("no space left on device")
	for _, a := range []*httptest.ResponseRecorder{
		w.send(http.MethodPost, "/v1/whoami", `{"passports":["`+expiredPassport+`"]}`),
		w.send(http.MethodPost, "/beacon/g_variants", question(expiredPassport)),
		w.send(http.MethodGet, "/beacon/g_variants?"+snv, "", "Authorization", "Bearer x"),
	} {
		if a.Code != http.StatusServiceUnavailable || strings.Contains(a.Body.String(), "space") || strings.Contains(a.Body.String(), "expired") {
			t.Errorf("%d %s", a.Code, a.Body)
		}
	}
	w.recording = context.DeadlineExceeded // still not the caller's deadline
	if a := w.send(http.MethodPost, "/beacon/g_variants", question(expiredPassport)); a.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

// An Authorization header that cannot be read is refused, never served as anonymous,
// and a good one is not served beside passports.
func TestAuthorizationHeadersAreRefused(t *testing.T) {
	for _, value := range []string{"Bearer", "Bearer a b", "Bearer a,b", "Basic YWxpY2U6c2VjcmV0", "GA4GH opaque-secret", "", "nothing", "Bearer cgs_short", "Bearer " + alicesToken + ", DPoP x", "DPoP"} {
		for _, request := range [][3]string{
			{http.MethodGet, "/beacon/g_variants?" + snv, ""}, {http.MethodPost, "/network/beacon/g_variants", question(alicesPassport)},
			{http.MethodGet, "/beacon/g_variants", ""}, {http.MethodPost, "/v1/whoami", `{"passports":["` + alicesPassport + `"]}`},
			{http.MethodGet, "/beacon/g_variants?testMode=true&" + snv, ""},
		} {
			w := newWorld(t)
			a := w.send(request[0], request[1], request[2], "Authorization", value)
			if a.Code != http.StatusUnauthorized || !strings.Contains(a.Body.String(), "unsupported_token") || !strings.Contains(a.Body.String(), "passports") || len(w.asked) != 0 {
				t.Errorf("%q at %s: %d %s", value, request[1], a.Code, a.Body)
			}
			if len(w.refusals) != 1 || w.refusals[0].reason != trust.ReasonUnsupportedToken || len(w.refusals[0].credentials) != 1 {
				t.Errorf("%q: recorded %v", value, w.refusals)
			}
			if strings.Contains(a.Body.String()+w.logged(), "opaque-secret") || strings.Contains(a.Body.String()+w.logged(), "eyJ") {
				t.Errorf("%q was shown: %s", value, w.logged())
			}
		}
	}
	// What is the same for everybody is not refused.
	w := newWorld(t)
	if a := w.send(http.MethodGet, "/beacon/info", "", "Authorization", "Bearer x"); a.Code != http.StatusOK {
		t.Errorf("info: %d", a.Code)
	}
}

// Row 137: a token in a URL is refused, not repeated and not logged.
func TestTokensInURLs(t *testing.T) {
	w := newWorld(t)
	for _, target := range []string{
		"/beacon/g_variants?" + snv + "&passports=" + alicesPassport, "/network/beacon/g_variants?access_token=opaque-secret",
		"/beacon/info?passports=" + alicesPassport, "/beacon/g_variants?" + alicesPassport, "/beacon/map?token=opaque-secret",
	} {
		a := w.send(http.MethodGet, target, "")
		if a.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", target, a.Code, a.Body)
		}
		errorOf(t, a)
		quiet(t, w, a)
	}
	for _, target := range []string{"/v1/whoami?passports=" + alicesPassport, "/beacon/g_variants?access_token=opaque-secret", "/v1/whoami?passports=" + alicesPassport + "&%zz"} {
		a := w.send(http.MethodPost, target, question())
		if a.Code != http.StatusBadRequest {
			t.Errorf("POST %s: %d %s", target, a.Code, a.Body)
		}
		quiet(t, w, a)
	}
	for _, target := range []string{"/" + alicesPassport, "/beacon/" + alicesPassport, "/beacon//g_variants?passports=" + alicesPassport} {
		a := w.send(http.MethodGet, target, "")
		if a.Code != http.StatusNotFound || a.Header().Get("Location") != "" {
			t.Errorf("%s: %d %v", target, a.Code, a.Header())
		}
		quiet(t, w, a)
	}
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
}

func quiet(t *testing.T, w *world, a *httptest.ResponseRecorder) {
	t.Helper()
	for _, secret := range []string{"eyJ", "YWxpY2U", "opaque-secret"} {
		if strings.Contains(a.Body.String(), secret) || strings.Contains(w.logged(), secret) || strings.Contains(fmt.Sprint(a.Header()), secret) {
			t.Errorf("%s was shown: %s\n%s", secret, a.Body, w.logged())
		}
	}
}

func TestMethods(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, path, allow string
		want                int
	}{
		{http.MethodDelete, "/beacon/info", "GET, HEAD, OPTIONS", 405},
		{http.MethodPost, "/beacon/info", "GET, HEAD, OPTIONS", 405},
		{http.MethodPut, "/beacon/g_variants", "GET, HEAD, OPTIONS, POST", 405},
		{http.MethodGet, "/v1/whoami", "OPTIONS, POST", 405},
		{http.MethodTrace, "/healthz", "GET, HEAD, OPTIONS", 405},
		{http.MethodConnect, "/healthz", "GET, HEAD, OPTIONS", 405},
		{http.MethodOptions, "/v1/whoami", "OPTIONS, POST", 200},
		{http.MethodOptions, "/network/beacon/g_variants", "GET, HEAD, OPTIONS, POST", 200},
		{http.MethodOptions, "/beacon/info", "GET, HEAD, OPTIONS", 204},
		{http.MethodGet, "/login", "", 404}, {http.MethodPost, "/v1/sessions", "", 404}, {http.MethodGet, "/jwks", "", 404},
		{http.MethodPost, "/oauth/token", "", 404}, {http.MethodGet, "/v1/claims", "", 404},
		{http.MethodHead, "/healthz", "", 200},
		{http.MethodHead, "/beacon/map", "", 200},
		{http.MethodGet, "/", "", 404}, {http.MethodGet, "/metrics", "", 404}, {http.MethodGet, "/beacon/individuals", "", 404},
		{http.MethodPost, "/v1/whoami/x", "", 404}, {http.MethodGet, "/beacon/../v1/whoami", "", 404},
	} {
		a := w.send(c.method, c.path, "")
		if a.Code != c.want || a.Header().Get("Allow") != c.allow || a.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: %d, Allow %q", c.method, c.path, a.Code, a.Header().Get("Allow"))
		}
	}
}

func TestBodies(t *testing.T) {
	const path = "/beacon/g_variants"
	for name, c := range map[string]struct {
		body    string
		headers []string
		want    int
		says    string
	}{
		"duplicate names":    {`{"query":{},"query":{}}`, nil, 400, "twice"},
		"trailing bytes":     {`{} {}`, nil, 400, "strict JSON"},
		"unknown member":     {`{"colour":"red"}`, nil, 400, "colour"},
		"filters":            {`{"query":{"filters":[{"id":"HP:0000001"}]}}`, nil, 400, "filters"},
		"nothing":            {``, nil, 400, "strict JSON"},
		"too large":          {`{"x":"` + strings.Repeat("a", beacon.MaxBody) + `"}`, nil, 413, "too large"},
		"a form":             {`a=b`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/json"},
		"compressed":         {`{}`, []string{"Content-Encoding", "gzip"}, 415, "Content-Encoding"},
		"broken media type":  {`{}`, []string{"Content-Type", ";;"}, 415, "application/json"},
		"no media type":      {question(), []string{"Content-Type", ""}, 200, ""},
		"charset":            {question(), []string{"Content-Type", "application/json; charset=utf-8"}, 200, ""},
		"too many passports": {question(hugePassport), nil, 413, "too_large"},
		"broken verifier":    {question("e30.e30.e30"), nil, 500, "transaction"},
	} {
		w := newWorld(t)
		a := w.send(http.MethodPost, path, c.body, c.headers...)
		if a.Code != c.want || !strings.Contains(a.Body.String(), c.says) {
			t.Errorf("%s: %d %.300s", name, a.Code, a.Body)
		}
		if a.Code != http.StatusOK {
			errorOf(t, a)
		}
	}
	// A length that was not told is bounded too.
	w := newWorld(t)
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(strings.Repeat(" ", beacon.MaxBody+1)))
	r.ContentLength = -1
	a := httptest.NewRecorder()
	if w.ServeHTTP(a, r); a.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("unknown length: %d", a.Code)
	}
	if a := w.send(http.MethodGet, path+"?datasets="+strings.Repeat("a,", beacon.MaxURLQuery), ""); a.Code != http.StatusRequestURITooLong {
		t.Errorf("long URL: %d", a.Code)
	}
}

// Row 71: passports that anybody on the way could have read are not taken.
func TestPassportsNeedTLSFromElsewhere(t *testing.T) {
	w := newWorld(t)
	from := func(address, target, body string, tls bool) int {
		r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
		r.RemoteAddr = address
		if tls {
			r = httptest.NewRequest(http.MethodPost, "https://node.uhn.example.org"+target, strings.NewReader(body))
			r.RemoteAddr = address
		}
		a := httptest.NewRecorder()
		w.ServeHTTP(a, r)
		return a.Code
	}
	whoami := `{"passports":["` + alicesPassport + `"]}`
	for _, c := range []struct {
		address, path, body string
		tls                 bool
		want                int
	}{
		{"192.0.2.7:5", "/v1/whoami", whoami, false, 400},
		{"192.0.2.7:5", "/beacon/g_variants", question(alicesPassport), false, 400},
		{"192.0.2.7:5", "/beacon/g_variants", question(), false, 200},
		{"192.0.2.7:5", "/v1/whoami", whoami, true, 200},
		{"127.0.0.1:5", "/v1/whoami", whoami, false, 200},
		{"[::ffff:127.0.0.1]:5", "/v1/whoami", whoami, false, 200},
		{"[::1]:5", "/v1/whoami", whoami, false, 200},
		{"@", "/v1/whoami", whoami, false, 400},
	} {
		if got := from(c.address, c.path, c.body, c.tls); got != c.want {
			t.Errorf("%s from %s, TLS %v: %d, want %d", c.path, c.address, c.tls, got, c.want)
		}
	}
}

func TestDesksThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"not recorded": {errors.New("disk full: /var/lib/secret"), 503},
		"out of time":  {fmt.Errorf("local: %w", context.DeadlineExceeded), 504},
		"abandoned":    {context.Canceled, 503},
		"bad question": {query.Bad("start", "lies beyond the chromosome"), 400},
	} {
		for _, root := range []string{"/beacon", "/network/beacon"} {
			w := newWorld(t)
			w.say = func(context.Context, query.Request) ([]query.Part, error) { return nil, c.err }
			for _, accept := range []string{"application/json", api.MediaTypeLines} {
				a := w.send(http.MethodPost, root+"/g_variants", question(), "Accept", accept)
				if a.Code != c.want || strings.Contains(a.Body.String(), "secret") {
					t.Errorf("%s at %s: %d %s", name, root, a.Code, a.Body)
				}
				errorOf(t, a)
			}
		}
	}
}

func TestPanicsBecomeErrors(t *testing.T) {
	w := newWorld(t)
	w.say = func(context.Context, query.Request) ([]query.Part, error) {
		panic("at the disco")
	}
	a := w.send(http.MethodPost, "/beacon/g_variants", question())
	if a.Code != http.StatusInternalServerError || !strings.Contains(w.logged(), "panic") || strings.Contains(a.Body.String(), "nil map") {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	errorOf(t, a)
	w.say = yes
	if a := w.send(http.MethodPost, "/beacon/g_variants", question()); a.Code != http.StatusOK {
		t.Errorf("after a panic: %d", a.Code)
	}
}

// The log has what an operator needs, and nothing of what was asked.
func TestAccessLog(t *testing.T) {
	w := newWorld(t)
	a := w.send(http.MethodGet, "/beacon/g_variants?"+snv, "")
	line := w.logged()
	for _, want := range []string{"route=/beacon/g_variants", "status=200", "transaction=" + a.Header().Get("X-Transaction-Id"), "from=127.0.0.1"} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is missing in %s", want, line)
		}
	}
	if strings.Contains(line, "16050074") || strings.Contains(line, "GRCh37") {
		t.Errorf("the question was logged: %s", line)
	}
}

func TestNewNeedsItsDesks(t *testing.T) {
	if _, err := web.New(web.Options{}); err == nil {
		t.Error("a door without desks was built")
	}
	w := newWorld(t, func(o *web.Options) { o.Random = strings.NewReader("") })
	if a := w.send(http.MethodGet, "/beacon/g_variants?"+snv, ""); a.Code != http.StatusInternalServerError || len(w.asked) != 0 {
		t.Errorf("without randomness: %d", a.Code)
	}
}

// Row 6: a bad passport refuses a request that asks for nothing, too.
func TestAProbeWithABadPassportIsRefused(t *testing.T) {
	w := newWorld(t)
	body := `{"passports":["` + expiredPassport + `"],"meta":{"apiVersion":"v2.1.1"}}`
	if a := w.send(http.MethodPost, "/network/beacon/g_variants", body); a.Code != http.StatusUnauthorized {
		t.Errorf("status %d", a.Code)
	}
	if a := w.send(http.MethodPost, "/network/beacon/g_variants", `{"passports":["`+alicesPassport+`"],"meta":{"apiVersion":"v2.1.1"}}`); a.Code != http.StatusOK {
		t.Errorf("a good passport: status %d", a.Code)
	}
}

// A path has one spelling: an escaped slash does not reach what a proxy's rules
// kept away.
func TestEscapedPathsAreNotServed(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/beacon%2fg_variants", "/beacon/%67_variants%2f", "/v1%2Fwhoami"} {
		if a := w.send(http.MethodGet, path, ""); a.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, a.Code)
		}
	}
}
