package providers

import (
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// browser is a person with a browser: it keeps cookies, follows redirects, fills in
// the forms that ask for a name and a password, and sends those that a script would
// send.
type browser struct {
	t        *testing.T
	client   *http.Client
	user     string
	password string
	end      string   // it stops before an address that begins so; "": at a page without a form
	seen     []string // hosts and paths it came by
}

func (w *world) newBrowser(user, password string) *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	b := &browser{t: w.t, user: user, password: password}
	b.client = &http.Client{
		Transport: w.transport(), Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(to *http.Request, via []*http.Request) error {
			if len(via) > 20 {
				return errors.New("redirects without end")
			}
			if b.end != "" && strings.HasPrefix(to.URL.String(), b.end) {
				return http.ErrUseLastResponse
			}
			b.seen = append(b.seen, to.URL.Host+to.URL.Path)
			return nil
		},
	}
	return b
}

// page is where the browser is.
type page struct {
	status int
	url    *url.URL
	next   *url.URL // where it was to go when it stopped; nil otherwise
	text   string
}

var (
	formTag    = regexp.MustCompile(`(?is)<form\b([^>]*)>(.*?)</form>`)
	fieldTag   = regexp.MustCompile(`(?is)<(?:input|button)\b([^>]*)>`)
	attributes = regexp.MustCompile(`(?is)([a-z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')`)
)

func attributesOf(tag string) map[string]string {
	all := map[string]string{}
	for _, m := range attributes.FindAllStringSubmatch(tag, -1) {
		all[strings.ToLower(m[1])] = html.UnescapeString(m[2] + m[3])
	}
	return all
}

// visit goes to address and on, form by form, until the end.
func (b *browser) visit(address string) page {
	b.t.Helper()
	p := b.walk(address)
	if b.end != "" && p.next == nil {
		b.t.Fatalf("the browser did not get to %s but to %s (%d), by way of %v:\n%.3000s", b.end, p.url.Redacted(), p.status, b.seen, p.text)
	}
	return p
}

// walk goes as far as it gets: to the end, or to a page without a form to fill in, or
// to one that asks again what was answered.
func (b *browser) walk(address string) page {
	b.t.Helper()
	p := b.get(address)
	for range 5 {
		if p.next != nil {
			return p
		}
		forms := formTag.FindAllStringSubmatch(p.text, -1)
		at := slices.IndexFunc(forms, func(f []string) bool {
			return strings.Contains(f[2], `type="password"`) || strings.Contains(f[2], `name="SAMLRe`)
		})
		if at < 0 {
			return p
		}
		p = b.submit(p, forms[at][1], forms[at][2])
	}
	return p
}

func (b *browser) submit(at page, form, inner string) page {
	b.t.Helper()
	action := attributesOf(form)["action"]
	to, err := at.url.Parse(action)
	if err != nil {
		b.t.Fatal(err)
	}
	if action == "#" || action == "?" || action == "" {
		to = at.url
	}
	values := url.Values{}
	for _, field := range fieldTag.FindAllStringSubmatch(inner, -1) {
		f := attributesOf(field[1])
		name, value := f["name"], f["value"]
		switch {
		case name == "":
			continue
		case strings.EqualFold(f["type"], "password"):
			value = b.password
		case name == "user" || name == "username":
			value = b.user
		}
		values.Add(name, value)
	}
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(request)
}

func (b *browser) get(address string) page {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(request)
}

func (b *browser) do(r *http.Request) page {
	b.t.Helper()
	b.seen = append(b.seen, r.URL.Host+r.URL.Path)
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		b.t.Fatal(err)
	}
	p := page{status: response.StatusCode, url: response.Request.URL, text: string(body)}
	if location, err := response.Location(); err == nil {
		p.next = location
	}
	return p
}
