package proof

import (
	"net/url"
	"strings"
)

// sameAddress compares htu with the request's own address without query and
// fragment (RFC 9449, section 4.3, number 9). Only what is the same by definition
// is made the same: the case of scheme and host, a default port, and the empty
// path (RFC 3986, sections 6.2.2.1 and 6.2.3). Dots and escapes are compared as they
// are, so that no two readers can disagree about them.
func sameAddress(htu, own string) error {
	claimed, ok := bare(htu)
	if !ok {
		return refuse("htu is not an address of HTTP, or longer than %d bytes", maxURLBytes)
	}
	wanted, ok := bare(own)
	if !ok || claimed != wanted {
		return refuse("the proof is for another address (htu)")
	}
	return nil
}

type address struct{ scheme, host, port, path string }

func bare(text string) (address, bool) {
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f } // for which there are several spellings
	if len(text) > maxURLBytes || strings.ContainsFunc(text, odd) {
		return address{}, false
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Opaque != "" || u.User != nil {
		return address{}, false
	}
	a := address{strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port(), u.EscapedPath()}
	usual, known := map[string]string{"https": "443", "http": "80"}[a.scheme]
	if a.port == "" {
		a.port = usual
	}
	if a.path == "" {
		a.path = "/"
	}
	return a, known
}
