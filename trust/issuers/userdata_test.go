package issuers

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// members of each kind of record that a node may sign. None of them is about a caller. A new one is thought about here before it
// travels to every member of the network and stays in their files.
var members = map[string][]string{
	typHead: {"e", "exp", "iat", "n", "net", "prev", "root", "u", "ver"},
	typSite: {"client_ids", "e", "exp", "iat", "key", "net", "node", "site", "u"},
	typObs:  {"at", "home", "iss", "jwks", "jwks_uri", "keys", "meta", "net"},
	typWord: {"algs", "at", "iss", "jwks", "jwks_uri", "keys", "kinds", "meta", "net", "refresh"},
	typTomb: {"at", "iss", "key", "net", "reason", "until"},
}

// Threat: user data in gossip. All that a running home site signs for its peers, of every kind, has the members of its kind and no
// others.
func TestNoUserDataInGossip(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "h")
		n.world.home = "site-of-h"
		n.world.publish(testIssuer, "k", "l")
		for _, site := range slices.Sorted(maps.Keys(n.peers)) {
			p, peers := homed(n, site)
			n.startWith(site, newMemory(), peers, p)
		}
		if err := n.sites["h"].BeHome([]string{testIssuer}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		n.sites["h"].distrust(t, "l", time.Hour)
		time.Sleep(time.Minute)
		own := n.sites["h"].state.Load().own.bundle.records
		seen := map[string]bool{}
		for _, envelope := range append([]string{own.Site, own.Head}, own.Records...) {
			parts := strings.Split(envelope, ".")
			var header struct{ Typ string }
			var payload map[string]json.RawMessage
			for i, into := range []any{&header, &payload} {
				b, err := base64.RawURLEncoding.DecodeString(parts[i])
				if err != nil || json.Unmarshal(b, into) != nil {
					t.Fatalf("%.60s: %v", envelope, err)
				}
			}
			seen[header.Typ] = true
			for member := range payload {
				if !slices.Contains(members[header.Typ], member) {
					t.Errorf("a record of kind %s says %q", header.Typ, member)
				}
			}
		}
		if len(seen) != len(members) {
			t.Errorf("of %d kinds only %v were signed", len(members), slices.Sorted(maps.Keys(seen)))
		}
	})
}
