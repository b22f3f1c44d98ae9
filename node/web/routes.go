package web

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	pathpkg "path"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/candignode/candignode/query/beacon"
)

// endpoint is one path. Methods that are nil are not allowed.
type endpoint struct {
	get, post, delete func(*exchange) error
	options           func(*exchange) error // nil: OPTIONS tells the methods only
	// beaconRoot tells that errors are Beacon's; elsewhere they are problem
	// details.
	beaconRoot bool
	network    bool // asks, and speaks for, every site
	page       bool // is for people: errors are pages too
	redirected bool // a browser comes here from an issuer or a client, with a code or state
	// anonymous tells, for what OPTIONS says, that nobody need be shown.
	anonymous bool
}

// endpoints is the whole public surface. Paths are compared as they are: no
// redirect ever repeats a URL. A path that ends in {} has one segment more, of which
// the endpoint sees no more than letters, digits, - and _.
func (o *Options) endpoints() map[string]endpoint {
	all := map[string]endpoint{
		"/v1/whoami":    {post: whoami, options: authorizations},
		metadataPath:    {get: resourceMetadata},
		"/service-info": {get: document(beacon.NodeServiceInfo)},
		"/healthz":      {get: healthz},
		"/readyz":       {get: readyz},
	}
	for root, network := range map[string]bool{"/beacon": false, "/network/beacon": true} {
		for path, e := range map[string]endpoint{
			"":                 {get: document(beacon.Info)},
			"/info":            {get: document(beacon.Info)},
			"/service-info":    {get: document(beacon.ServiceInfo)},
			"/configuration":   {get: document(beacon.Configuration)},
			"/map":             {get: document(beacon.Map)},
			"/entry_types":     {get: document(beacon.EntryTypes)},
			"/filtering_terms": {get: document(beacon.FilteringTerms)},
			"/g_variants":      {get: getVariants, post: postVariants, options: authorizations, anonymous: true},
		} {
			e.beaconRoot, e.network = true, network
			all[root+path] = e
		}
	}
	if o.Sessions != nil {
		all["/v1/sessions"] = endpoint{get: listSessions, post: beginSession}
		all["/v1/sessions/{}"] = endpoint{delete: endSession}
		all["/logout"] = endpoint{post: logout, page: true}
	}
	if o.SignIn != nil {
		all["/login"] = endpoint{get: loginPage, page: true}
		all["/login/start"] = endpoint{get: startSignIn, page: true}
		all["/login/callback/{}"] = endpoint{get: finishSignIn, page: true, redirected: true}
	}
	if o.KeySet != nil {
		all["/jwks"] = endpoint{get: keySet}
	}
	if o.Broker != nil {
		all["/.well-known/openid-configuration"] = endpoint{get: discovery}
		all[homePath] = endpoint{get: homeSite}
		all["/oauth/token"] = endpoint{post: token}
		all["/oauth/userinfo"] = endpoint{get: userInfo, post: userInfo}
	}
	if o.Provider != nil {
		all[authorizePath] = endpoint{get: authorize, page: true, redirected: true}
		all[authorizePath+"/{}"] = endpoint{get: resume, page: true}
	}
	if o.Claims != nil {
		all["/v1/claims"] = endpoint{get: claims, post: claims}
	}
	return all
}

// oneSegment is the last segment of a path that ends in {}.
var oneSegment = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// exchange is one request and its answer.
type exchange struct {
	*handler
	endpoint
	w           *writer
	r           *http.Request
	parameters  url.Values
	transaction string
	segment     string     // the last of a path that ends in {}
	identified  credential // what was verified, for the answer to a refusal
}

// writer notes what left.
type writer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *writer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the connection.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ServeHTTP is the one way in: every answer, also to a path that does not exist,
// passes here.
func (h *handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	start := h.o.Now()
	e := &exchange{handler: h, w: &writer{ResponseWriter: rw}, r: r}
	route := h.route(e)
	defer func() {
		if v := recover(); v != nil {
			h.o.Log.Error("a request made the handler panic", "route", route, "transaction", e.transaction,
				"panic", fmt.Sprintf("%.200v", v), "stack", string(debug.Stack()))
			e.fail(errPanic)
		}
		h.o.Log.Info("request", "method", fmt.Sprintf("%.16q", r.Method), "route", route, "status", e.w.status,
			"bytes", e.w.bytes, "took", h.o.Now().Sub(start), "transaction", e.transaction, "from", host(r.RemoteAddr))
	}()
	headers(e.w.Header())
	id, err := h.transactionID(e)
	if err == nil {
		e.transaction = id
		err = e.serve(route)
	}
	if err != nil {
		e.fail(err)
	}
}

func (h *handler) transactionID(e *exchange) (string, error) {
	id, err := h.transaction()
	if err == nil {
		e.w.Header().Set("X-Transaction-Id", id)
	}
	return id, err
}

// route finds the endpoint and gives its name for logs. A path that does not
// exist is not repeated there: it could hold anything.
func (h *handler) route(e *exchange) string {
	path := e.r.URL.Path
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	found, ok := h.endpoints[path]
	if head, segment := pathpkg.Split(path); !ok && oneSegment.MatchString(segment) {
		if found, ok = h.endpoints[head+"{}"]; ok {
			path, e.segment = head+"{}", segment
		}
	}
	// No route needs an escape, and an escaped slash may have slipped through
	// the path rules of something in front.
	if !ok || e.r.URL.RawPath != "" {
		found = endpoint{}
		found.beaconRoot = strings.HasPrefix(path, "/beacon/") || strings.HasPrefix(path, "/network/beacon/")
		found.network = strings.HasPrefix(path, "/network/")
		path = ""
	}
	e.endpoint = found
	return path
}

// headers are on every answer. All of them may speak of a person, so none is
// kept by anybody on the way (passports.md, row 71), and none is a page.
func headers(h http.Header) {
	h.Set("Cache-Control", "no-store, no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

func (e *exchange) serve(route string) error {
	if route == "" {
		return errNoSuchPath
	}
	serve, err := e.method()
	if serve == nil || err != nil {
		return err
	}
	if len(e.r.URL.RawQuery) > beacon.MaxURLQuery {
		return errLongURL
	}
	if e.parameters, err = url.ParseQuery(e.r.URL.RawQuery); err != nil {
		return e.unreadableURL()
	}
	if err := e.noTokenInURL(); err != nil {
		return err
	}
	return serve(e)
}

// method gives what serves the request's method. For OPTIONS, which is answered
// here, that is nil.
func (e *exchange) method() (func(*exchange) error, error) {
	allowed := []string{http.MethodOptions}
	if e.get != nil {
		allowed = append(allowed, http.MethodGet, http.MethodHead)
	}
	if e.post != nil {
		allowed = append(allowed, http.MethodPost)
	}
	if e.delete != nil {
		allowed = append(allowed, http.MethodDelete)
	}
	slices.Sort(allowed)
	switch m := e.r.Method; {
	case e.get != nil && (m == http.MethodGet || m == http.MethodHead):
		return e.get, nil
	case e.post != nil && m == http.MethodPost:
		return e.post, nil
	case e.delete != nil && m == http.MethodDelete:
		return e.delete, nil
	case m == http.MethodOptions:
		e.w.Header().Set("Allow", strings.Join(allowed, ", "))
		if e.options != nil {
			return e.options, nil
		}
		e.w.WriteHeader(http.StatusNoContent)
		return nil, nil
	}
	e.w.Header().Set("Allow", strings.Join(allowed, ", "))
	return nil, errMethod
}

// about is what the root that was asked says of itself.
func (e *exchange) about() beacon.About {
	about := e.o.About()
	if e.network {
		return about.OfNetwork()
	}
	return about
}

// document serves a description; it is the same for everybody.
func document(of func(beacon.About) beacon.Document) func(*exchange) error {
	return func(e *exchange) error {
		if err := beacon.CheckInfo(e.parameters); err != nil {
			return err
		}
		return e.answer(http.StatusOK, jsonType, of(e.about()))
	}
}

func healthz(e *exchange) error {
	return e.answer(http.StatusOK, jsonType, map[string]string{"status": "ok"})
}

func readyz(e *exchange) error {
	if err := e.o.Ready(); err != nil {
		return fmt.Errorf("%w: %w", errNotReady, err)
	}
	return e.answer(http.StatusOK, jsonType, map[string]string{"status": "ready"})
}

func host(address string) string {
	h, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return h
}
