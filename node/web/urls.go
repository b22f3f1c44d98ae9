package web

import (
	"maps"
	"slices"

	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
)

// noTokenInURL refuses a URL that carries a credential, whatever path it is for:
// URLs stand in logs and histories all the way (passports.md, row 137; RFC 6750,
// section 5.3). What was in it is recorded by digest, for it is exposed.
func (e *exchange) noTokenInURL() error {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(e.parameters)) {
		// The code and state of a sign-in have their place there, and no other.
		named := beacon.NamesToken(name)
		for _, value := range e.parameters[name] {
			switch {
			case named, beacon.HoldsToken(value) && !(e.redirected && (name == "code" || name == "state")):
				found = append(found, value)
			case beacon.HoldsToken(name):
				found = append(found, name)
			}
		}
	}
	if sessionToken.MatchString(e.segment) {
		found = append(found, e.segment)
	}
	if len(found) == 0 {
		return nil
	}
	return e.turnAway(trust.ReasonUnsupportedToken, found, errTokenInURL)
}

// unreadableURL refuses parameters that cannot be told apart.
func (e *exchange) unreadableURL() error {
	if raw := e.r.URL.RawQuery; beacon.HoldsToken(raw) {
		return e.turnAway(trust.ReasonUnsupportedToken, []string{raw}, errBadURL)
	}
	return errBadURL
}
