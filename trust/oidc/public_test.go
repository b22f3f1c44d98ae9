package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
)

// wired is a provider without sockets, so that sign-ins run in fake time.
type wired struct {
	mu      sync.Mutex
	answers map[string]func(form url.Values) (status int, media, body string)
	asked   []time.Duration // when the token endpoint was asked
	start   time.Time
	errs    int // how many requests to the token endpoint find no network
}

const wiredIssuer = "https://op.example.org/realms/one"

func newWired() *wired {
	w := &wired{answers: map[string]func(url.Values) (int, string, string){}, start: time.Now()}
	w.on("/realms/one/.well-known/openid-configuration", 200, metadataFor(wiredIssuer, "https://op.example.org"))
	w.on("/device", 200, deviceAnswer)
	return w
}

func metadataFor(issuer, base string) string {
	return fmt.Sprintf(`{"issuer":%q,"authorization_endpoint":"%s/authorize","token_endpoint":"%[2]s/token","device_authorization_endpoint":"%[2]s/device"}`, issuer, base)
}

const deviceAnswer = `{"device_code":"dc` + secret + `","user_code":"WDJB-MJHT","verification_uri":"https://op.example.org/d","verification_uri_complete":"https://op.example.org/d?c=WDJB-MJHT","expires_in":600,"interval":5}`

func (w *wired) on(path string, status int, body string) {
	w.answers[path] = func(url.Values) (int, string, string) { return status, mediaJSON, body }
}

// steps answers the token endpoint with one body after the other: 400 for errors.
func (w *wired) steps(bodies ...string) {
	w.answers["/token"] = func(url.Values) (int, string, string) {
		body := bodies[0]
		if len(bodies) > 1 {
			bodies = bodies[1:]
		}
		if strings.Contains(body, `"error"`) {
			return 400, mediaJSON, body
		}
		return 200, mediaJSON, body
	}
}

func (w *wired) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.URL.Path == "/token" {
		w.asked = append(w.asked, time.Since(w.start))
		if w.errs > 0 {
			w.errs--
			return nil, errors.New("no network " + secret)
		}
	}
	form := url.Values{}
	if r.Body != nil {
		body, _ := io.ReadAll(r.Body)
		form, _ = url.ParseQuery(string(body))
	}
	recorder := httptest.NewRecorder()
	if answer := w.answers[r.URL.Path]; answer == nil {
		http.NotFound(recorder, r)
	} else {
		code, media, body := answer(form)
		recorder.Header().Set("Content-Type", media)
		recorder.WriteHeader(code)
		io.WriteString(recorder, body)
	}
	return recorder.Result(), nil
}

func (w *wired) public() Public {
	return Public{Client: &http.Client{Transport: w}, Issuer: wiredIssuer, ClientID: "cli", Scopes: []string{"openid", "offline_access"}}
}

const (
	pending   = `{"error":"authorization_pending"}`
	slowDown  = `{"error":"slow_down"}`
	tokenBody = `{"access_token":"at","token_type":"Bearer","id_token":"id","refresh_token":"rt","expires_in":300}`
)

// RFC 8628, section 3.5: the provider sets the pace, and slow_down adds 5 s for good.
func TestDeviceFlow(t *testing.T) {
	for name, test := range map[string]struct {
		steps []string
		want  error
		code  string
		at    []time.Duration
	}{
		"at once":        {[]string{tokenBody}, nil, "", []time.Duration{5}},
		"after a while":  {[]string{pending, pending, tokenBody}, nil, "", []time.Duration{5, 10, 15}},
		"slowed":         {[]string{pending, slowDown, pending, tokenBody}, nil, "", []time.Duration{5, 10, 20, 30}},
		"denied":         {[]string{pending, `{"error":"access_denied","error_description":"` + secret + `"}`}, ErrDenied, "access_denied", []time.Duration{5, 10}},
		"expired":        {[]string{`{"error":"expired_token"}`}, ErrExpired, "expired_token", []time.Duration{5}},
		"code unknown":   {[]string{`{"error":"invalid_grant"}`}, bearer.ErrRefused, "invalid_grant", []time.Duration{5}},
		"error unknown":  {[]string{`{"error":"` + secret + `"}`}, bearer.ErrRefused, "", []time.Duration{5}},
		"no token":       {[]string{`{"token_type":"Bearer"}`}, bearer.ErrUnavailable, "", []time.Duration{5}},
		"token twice":    {[]string{strings.Replace(tokenBody, "{", `{"access_token":"evil",`, 1)}, bearer.ErrUnavailable, "", []time.Duration{5}},
		"null":           {[]string{"null"}, bearer.ErrUnavailable, "", []time.Duration{5}},
		"no Bearer":      {[]string{strings.Replace(tokenBody, "Bearer", "MAC", 1)}, bearer.ErrUnavailable, "", []time.Duration{5}},
		"fractional end": {[]string{strings.Replace(tokenBody, "300", "300.5", 1)}, bearer.ErrUnavailable, "", []time.Duration{5}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWired()
				w.steps(test.steps...)
				var shown []DeviceCode
				got, err := w.public().Device(t.Context(), func(c DeviceCode) { shown = append(shown, c) })
				silent(t, err)
				if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
					t.Fatalf("%v, want %v", err, test.want)
				}
				if own, _ := errors.AsType[*Error](err); err != nil && own.Code != test.code {
					t.Errorf("code %q", own.Code)
				}
				if err == nil && (got.Access.Reveal() != "at" || got.ID.Reveal() != "id" || got.Refresh.Reveal() != "rt" || !got.Expires.Equal(time.Now().Add(5*time.Minute))) {
					t.Errorf("%+v", got)
				}
				want := DeviceCode{"WDJB-MJHT", "https://op.example.org/d", "https://op.example.org/d?c=WDJB-MJHT", w.start.Add(10 * time.Minute).UTC()}
				if len(shown) != 1 || shown[0] != want {
					t.Errorf("shown %+v", shown)
				}
				for i := range test.at {
					test.at[i] *= time.Second
				}
				if !slices.Equal(w.asked, test.at) {
					t.Errorf("asked at %v, want %v", w.asked, test.at)
				}
			})
		})
	}
}

// What the device flow sends: the public client's id, the scopes, and no secret.
func TestDeviceRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWired()
		var forms []url.Values
		for path, body := range map[string]string{"/device": deviceAnswer, "/token": tokenBody} {
			w.answers[path] = func(form url.Values) (int, string, string) {
				forms = append(forms, form)
				return 200, mediaJSON, body
			}
		}
		if _, err := w.public().Device(t.Context(), func(DeviceCode) {}); err != nil {
			t.Fatal(err)
		}
		if forms[0].Encode() != "client_id=cli&scope=openid+offline_access" {
			t.Errorf("%s", forms[0].Encode())
		}
		if f := forms[1]; f.Get("grant_type") != "urn:ietf:params:oauth:grant-type:device_code" || f.Get("device_code") != "dc"+secret || f.Get("client_id") != "cli" {
			t.Errorf("%s", f.Encode())
		}
	})
}

// Nobody signs in: the code's own end, or 15 minutes, is the end.
func TestDeviceExpires(t *testing.T) {
	for end, want := range map[string]time.Duration{"600": 10 * time.Minute, "86400": maxDeviceWait} {
		synctest.Test(t, func(t *testing.T) {
			w := newWired()
			w.on("/device", 200, strings.Replace(deviceAnswer, "600", end, 1))
			w.steps(pending)
			_, err := w.public().Device(t.Context(), func(DeviceCode) {})
			if took := time.Since(w.start); !errors.Is(err, ErrExpired) || took != want {
				t.Errorf("%v after %s", err, took)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWired()
		w.steps(pending)
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		_, err := w.public().Device(ctx, func(DeviceCode) {})
		if took := time.Since(w.start); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrExpired) || took != 12*time.Second {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// The network may go away while the person signs in; it is asked for less and less
// often then, and as the provider says (RFC 8628, section 3.5).
func TestDeviceWithoutNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWired()
		w.errs = 5
		w.steps(tokenBody)
		if _, err := w.public().Device(t.Context(), func(DeviceCode) {}); err != nil {
			t.Error(err)
		}
		if want := []time.Duration{5, 15, 35, 75, 135, 195}; !slices.EqualFunc(w.asked, want, func(a, b time.Duration) bool { return a == b*time.Second }) {
			t.Errorf("asked at %v", w.asked)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWired()
		n := 0
		w.answers["/token"] = func(url.Values) (int, string, string) {
			if n++; n == 1 {
				return 503, "text/html", "<html>" + secret
			}
			return 200, mediaJSON, tokenBody
		}
		if _, err := w.public().Device(t.Context(), func(DeviceCode) {}); err != nil {
			t.Error(err)
		}
		// A login page is no passing trouble.
		w.answers["/token"] = func(url.Values) (int, string, string) { return 200, "text/html", "<html>" }
		before := len(w.asked)
		if _, err := w.public().Device(t.Context(), func(DeviceCode) {}); !errors.Is(err, bearer.ErrUnavailable) || len(w.asked) != before+1 {
			t.Errorf("%v after %d requests", err, len(w.asked)-before)
		}
	})
}

// What goes to the terminal is checked before it is shown.
func TestDeviceAnswers(t *testing.T) {
	replace := func(old, new string) string { return strings.Replace(deviceAnswer, old, new, 1) }
	for name, body := range map[string]string{
		"no device code": replace("device_code", "x"), "no user code": replace("user_code", "x"), "empty code": replace("WDJB-MJHT", ""),
		"escape code": replace("WDJB-MJHT", `\u001b[2J`), "bidi": replace("WDJB-MJHT", `\u202e`), "long code": replace("WDJB-MJHT", strings.Repeat("x", maxUserCode+1)),
		"plain http": replace("https://op.example.org/d", "http://op.example.org/d"), "script": replace("https://op.example.org/d", "javascript:alert(1)"),
		"look-alike": replace("https://op.example.org/d", "https://öp.example.org/d"), "no address": replace("verification_uri", "x"),
		"bad full address": replace("https://op.example.org/d?c", "http://op.example.org/d?c"),
		"no end":           replace("expires_in", "x"), "end is zero": replace("600", "0"), "end is text": replace("600", `"600"`), "endless": replace("600", "1e300"),
		"negative pace": replace(`"interval":5`, `"interval":-5`), "endless pace": replace(`"interval":5`, `"interval":1e18`), "twice": replace("{", `{"user_code":"x",`),
		"array": "[]", "null": "null", "": "",
	} {
		if checkDevice([]byte(body)) == "" {
			t.Errorf("%s: taken", name)
		}
	}
	for _, good := range []string{deviceAnswer, replace(`,"interval":5`, ""), replace(`"interval":5`, `"interval":0`), replace("https://op.example.org/d", "http://127.0.0.1:80/d"), replace("verification_uri_complete", "x")} {
		if wrong := checkDevice([]byte(good)); wrong != "" {
			t.Errorf("%s: %s", good, wrong)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWired()
		w.on("/device", 200, replace("https://op", "http://op"))
		shown := func(DeviceCode) { t.Error("shown") }
		if _, err := w.public().Device(t.Context(), shown); !errors.Is(err, bearer.ErrUnavailable) || !strings.Contains(err.Error(), "verification_uri") {
			t.Errorf("%v", err)
		}
		w.on("/device", 401, `{"error":"invalid_client"}`)
		if _, err := w.public().Device(t.Context(), shown); !errors.Is(err, bearer.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		w.on("/realms/one/.well-known/openid-configuration", 200, strings.Replace(metadataFor(wiredIssuer, "https://op.example.org"), "device_auth", "x", 1))
		if _, err := w.public().Device(t.Context(), shown); !errors.Is(err, ErrNoDeviceFlow) {
			t.Errorf("%v", err)
		}
	})
}

// Rows 91 to 93, for the command line too: the provider's document is its own, and
// its endpoints are https, or on this machine if it is.
func TestPublicDiscovery(t *testing.T) {
	good := metadataFor("https://a.example", "https://a.example")
	local := metadataFor("http://127.0.0.1:8", "http://127.0.0.1:8")
	for name, test := range map[string]struct {
		issuer, body string
		takes        bool
	}{
		"good":              {"https://a.example", good, true},
		"on this machine":   {"http://127.0.0.1:8", local, true},
		"slash":             {"https://a.example/", good, false},
		"case":              {"https://A.example", good, false},
		"port":              {"https://a.example:443", good, false},
		"http":              {"https://a.example", strings.Replace(good, "https://a.example/token", "http://a.example/token", 1), false},
		"to this machine":   {"https://a.example", strings.Replace(good, "https://a.example/token", "http://127.0.0.1/token", 1), false},
		"from this machine": {"http://127.0.0.1:8", strings.Replace(local, "http://127.0.0.1:8/device", "http://a.example/device", 1), false},
		"escape sequence":   {"https://a.example", strings.Replace(good, "/authorize", "/\\u009b2Jauthorize", 1), false},
		"letters that hide": {"https://a.example", strings.Replace(good, "/authorize", "/\\u202eauthorize", 1), false},
		"no token endpoint": {"https://a.example", strings.Replace(good, "token_endpoint", "x", 1), false},
		"iss is text":       {"https://a.example", strings.Replace(good, "{", `{"authorization_response_iss_parameter_supported":"true",`, 1), false},
		"twice":             {"https://a.example", strings.Replace(good, "{", `{"issuer":"x",`, 1), false},
		"nothing":           {"", "", false}, "null": {"", "null", false},
	} {
		if e, wrong := readMetadata([]byte(test.body), test.issuer); (wrong == "") != test.takes || test.takes == (e == trust.Endpoints{}) {
			t.Errorf("%s: %+v, %q", name, e, wrong)
		}
	}
	w := newWired()
	for _, bend := range []func(*Public){
		func(s *Public) { s.Issuer = "http://op.example.org" }, func(s *Public) { s.Issuer = "" }, func(s *Public) { s.Issuer = "op.example.org" },
		func(s *Public) { s.Issuer += "#x" }, func(s *Public) { s.ClientID = "" }, func(s *Public) { s.Client = nil },
	} {
		s := w.public()
		bend(&s)
		if _, err := s.Refresh(t.Context(), token); !errors.Is(err, bearer.ErrNoWay) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	w.on("/realms/one/.well-known/openid-configuration", 302, "")
	if _, err := w.public().Refresh(t.Context(), token); !errors.Is(err, bearer.ErrUnavailable) {
		t.Errorf("redirected discovery: %v", err)
	}
}

func TestPublicRefresh(t *testing.T) {
	w := newWired()
	var form url.Values
	answer := tokenBody
	status := 200
	w.answers["/token"] = func(f url.Values) (int, string, string) {
		form = f
		return status, mediaJSON, answer
	}
	got, err := w.public().Refresh(t.Context(), token)
	if err != nil || got.Access.Reveal() != "at" || got.Refresh.Reveal() != "rt" {
		t.Errorf("%+v, %v", got, err)
	}
	if form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != token.Reveal() || form.Get("client_id") != "cli" || form.Has("client_secret") {
		t.Errorf("%s", form.Encode())
	}
	answer = `{"access_token":"at","token_type":"Bearer"}`
	if got, err := w.public().Refresh(t.Context(), token); err != nil || got.Refresh.Reveal() != token.Reveal() {
		t.Errorf("%+v, %v", got, err)
	}
	for code, want := range map[int]error{400: bearer.ErrRefused, 429: bearer.ErrUnavailable, 500: bearer.ErrUnavailable, 302: bearer.ErrUnavailable} {
		status, answer = code, `{"error":"invalid_grant","error_description":"`+secret+`"}`
		before := len(w.asked)
		_, err := w.public().Refresh(t.Context(), token)
		silent(t, err)
		if !errors.Is(err, want) || len(w.asked) != before+1 {
			t.Errorf("%d: %v after %d requests", code, err, len(w.asked)-before)
		}
	}
	if _, err := w.public().Refresh(t.Context(), trust.AccessToken{}); !errors.Is(err, bearer.ErrRefused) {
		t.Errorf("refresh with nothing: %v", err)
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(metadataFor("https://a.example", "https://a.example")))
	f.Add([]byte(`{"issuer":"https://a.example","token_endpoint":"http://127.0.0.1/"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, wrong := readMetadata(body, "https://a.example")
		for _, address := range []string{e.Authorization, e.Token, e.DeviceAuthorization} {
			if address != "" && !strings.HasPrefix(strings.ToLower(address), "https://") {
				t.Errorf("%q was taken", address)
			}
		}
		if (wrong == "") == (e == trust.Endpoints{}) {
			t.Errorf("%+v, %q", e, wrong)
		}
	})
}

func FuzzDevice(f *testing.F) {
	f.Add([]byte(deviceAnswer))
	f.Add([]byte(`{"device_code":"d","user_code":"\u001b[2J","verification_uri":"https://a.example","expires_in":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWired()
		w.on("/device", 200, string(body))
		if checkDevice(body) != "" {
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, _ = w.public().Device(ctx, func(c DeviceCode) {
			cancel() // nobody signs in
			if !printable(c.UserCode+c.Address+c.AddressFull) || c.UserCode == "" {
				t.Errorf("%+v goes to the terminal", c)
			}
		})
		cancel()
	})
}
