package web

import "net/http"

// cookie makes one that only this host gets back, over TLS, out of the reach of any
// script, and not with what other sites' pages load or post. Seconds below 0 take it
// away.
func cookie(name, value string, seconds int) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, MaxAge: seconds, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}
