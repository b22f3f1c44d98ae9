package beacon

import (
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

// About is what a site says of itself to anybody. It is made anew from what is
// loaded, never edited by hand, and names no peer, no issuer, no key and no
// dataset (passports.md, row 140).
type About struct {
	Site            trust.SiteName // names the beacon: its beaconId
	Name            string         // the site's display name; "" is Site
	Organization    string         // "" is Name
	OrganizationURL string         // "" is URL
	URL             string         // where the API stands from outside, without a path
	Version         string         // of the program
	Environment     string         // prod, test, dev or staging; "" is prod
	// Levels and Assemblies are those of the datasets that are served.
	Levels     []access.Level
	Assemblies []query.Assembly
	Updated    time.Time // when the newest release was loaded; zero: nothing is

	network bool
}

// OfNetwork describes the root that asks every site, with an id and a name of
// its own.
func (a About) OfNetwork() About {
	a.network = true
	return a
}

// ID is the beaconId: the site's name, by which result sets of a network answer
// name it too.
func (a About) ID() string {
	if a.network {
		return string(a.Site) + ".network"
	}
	return string(a.Site)
}

func (a About) name() string {
	name := first(a.Name, string(a.Site))
	if a.network {
		name += " and its network"
	}
	return name
}

func (a About) root() string {
	if a.network {
		return strings.TrimSuffix(a.URL, "/") + "/network/beacon"
	}
	return strings.TrimSuffix(a.URL, "/") + "/beacon"
}

// levels gives Beacon's security levels. What other sites serve is theirs to
// say, so the network may hold any level; a site with nothing loaded claims the
// strictest (passports.md, row 132).
func (a About) levels() []string {
	all := []struct {
		level access.Level
		name  string
	}{{access.Public, "PUBLIC"}, {access.Registered, "REGISTERED"}, {access.Controlled, "CONTROLLED"}}
	names := []string{}
	for _, l := range all {
		if a.network || slices.Contains(a.Levels, l.level) {
			names = append(names, l.name)
		}
	}
	if len(names) == 0 {
		names = append(names, "CONTROLLED")
	}
	return names
}

func (a About) environment() string {
	switch a.Environment {
	case "test", "dev", "staging":
		return a.Environment
	}
	return "prod"
}

// maturity is the environment in Beacon's other vocabulary.
func (a About) maturity() string {
	switch a.environment() {
	case "dev":
		return "DEV"
	case "test", "staging":
		return "TEST"
	}
	return "PROD"
}

func (a About) updated() string {
	if a.Updated.IsZero() {
		return ""
	}
	return a.Updated.UTC().Format(time.RFC3339)
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
