package idp

import (
	"crypto/rand"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
	"time"
)

// device is a sign-in that waits for its person (RFC 8628).
type device struct {
	userCode string
	client   Client
	scope    []string
	resource string
	subject  string // who approved it; "": nobody yet
	denied   bool
	expires  time.Time
	polled   time.Time
}

func (p *provider) deviceAuthorization(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		writeRefusal(w, refuse("invalid_request", "the form cannot be read"))
		return
	}
	b := p.is()
	client, err := p.authenticate(r)
	scope := words(r.PostForm.Get("scope"))
	switch {
	case b.NoDevice:
		http.NotFound(w, r)
		return
	case err == nil && !slices.Contains(scope, scopeOpenID):
		err = refuse("invalid_scope", "openid is missing")
	}
	if err != nil {
		writeRefusal(w, err)
		return
	}
	code, d := random(), &device{
		userCode: userCode(), client: client, scope: scope, resource: r.PostForm.Get("resource"), expires: p.now().Add(deviceLife),
	}
	if who, ok := p.researcher(r.PostForm.Get("login_hint")); ok && b.ApproveDevices {
		d.subject = who.Subject
	}
	p.mu.Lock()
	p.devices[code] = d
	p.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{
		"device_code": code, "user_code": d.userCode, "verification_uri": p.issuer() + "/device",
		"verification_uri_complete": p.issuer() + "/device?user_code=" + d.userCode,
		"expires_in":                int(deviceLife / time.Second), "interval": int(b.interval() / time.Second),
	})
}

func (b Behaviour) interval() time.Duration { return max(b.DeviceInterval, time.Second) }

// userCode is eight consonants, as RFC 8628, section 6.1, recommends.
func userCode() string {
	const letters = "BCDFGHJKLMNPQRSTVWXZ"
	var b [8]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b[:4]) + "-" + string(b[4:])
}

// Approve answers the device code that a person would type as user code, as the
// researcher of that name or subject; "" is the first one.
func (s *Server) Approve(issuer, userCode, researcher string) error {
	p, err := s.provider(issuer)
	if err != nil {
		return err
	}
	who, ok := p.researcher(researcher)
	if !ok {
		return fmt.Errorf("%.40q is not registered with %s", researcher, issuer)
	}
	return p.decide(userCode, func(d *device) { d.subject = who.Subject })
}

// Deny answers a device code with no.
func (s *Server) Deny(issuer, userCode string) error {
	p, err := s.provider(issuer)
	if err != nil {
		return err
	}
	return p.decide(userCode, func(d *device) { d.denied = true })
}

func (p *provider) decide(userCode string, decide func(*device)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.devices {
		if d.userCode == strings.ToUpper(userCode) && p.server.Now().Before(d.expires) {
			decide(d)
			return nil
		}
	}
	return fmt.Errorf("nobody waits with user code %.20q", userCode)
}

// devicePage is where a person types the user code. Here it approves at once.
func (p *provider) devicePage(w http.ResponseWriter, r *http.Request) {
	code := r.URL.Query().Get("user_code")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if code == "" {
		fmt.Fprint(w, `<form><label>Code <input name="user_code"></label> <label>Name <input name="login_hint"></label> <button>Sign in</button></form>`)
		return
	}
	if err := p.server.Approve(p.name, code, r.URL.Query().Get("login_hint")); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintln(w, html.EscapeString(err.Error()))
		return
	}
	fmt.Fprintln(w, "You are signed in. Go back to your terminal.")
}

// redeemDevice answers grant_type=device_code (RFC 8628, section 3.5).
func (p *provider) redeemDevice(c call) (map[string]any, error) {
	code, now := c.form.Get("device_code"), p.now()
	p.mu.Lock()
	d, ok := p.devices[code]
	var soon bool
	if ok {
		// Half the interval: a client's clock may run a little fast.
		soon = !d.polled.IsZero() && now.Sub(d.polled) < p.behaviour.interval()/2
		d.polled = now
		if d.subject != "" && !soon {
			delete(p.devices, code)
		}
	}
	p.mu.Unlock()
	switch {
	case !ok || d.client.ID != c.client.ID:
		return nil, refuse("invalid_grant", "no such device code")
	case soon:
		return nil, refuse("slow_down", "asked again too soon")
	case !now.Before(d.expires):
		return nil, refuse("expired_token", "nobody typed the code in time")
	case d.denied:
		return nil, refuse("access_denied", "the researcher said no")
	case d.subject == "":
		return nil, refuse("authorization_pending", "not yet")
	}
	if c.form.Get("resource") == "" && d.resource != "" {
		c.form.Set("resource", d.resource)
	}
	return p.issue(c, signIn{subject: d.subject, scope: d.scope, family: random()})
}
