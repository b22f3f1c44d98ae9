package config

import (
	"slices"
	"strings"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust/access"
)

func (d *Dataset) fillDefaults(n *notes, at string) {
	if d.Access != access.Public {
		orDefault(n, at+".by", &d.By, []string{"dac"})
	}
	if d.Access == access.Registered {
		orDefault(n, at+".registered_by", &d.RegisteredBy, access.ByVisas)
	}
}

func (c *Config) checkDatasets(n *notes) {
	seen := map[string]int{}
	for i := range c.DatasetList {
		d, at := &c.DatasetList[i], item("datasets", i)
		if d.ID == "" {
			n.problem(at+".id", "write a short name, as in rarivitis-2025", "is missing")
		} else if err := query.ValidDatasetID(d.ID); err != nil {
			n.problem(at+".id", "", "%v", err)
		} else {
			once(n, seen, "datasets", at+".id", d.ID, i)
		}
		if d.Access == "" {
			n.problem(at+".access", "write public, registered or controlled", "is missing")
		} else {
			oneOf(n, at+".access", string(d.Access), string(access.Public), string(access.Registered), string(access.Controlled))
		}
		d.checkValue(n, at)
		c.checkWhoCounts(n, at, d)
	}
}

func (d *Dataset) checkValue(n *notes, at string) {
	key := at + ".value"
	switch {
	case d.Access == access.Controlled && d.Value == "":
		n.problem(key, "write the value that a ControlledAccessGrants visa must have, as in https://dac.example.org/datasets/rarivitis",
			"is missing for a controlled dataset; nobody could be granted it")
	case len(d.Value) > maxURLClaim:
		n.problem(key, "", "is longer than the %d bytes that a visa's value may have", maxURLClaim)
	case strings.TrimSpace(d.Value) != d.Value:
		n.problem(key, "remove the space", "begins or ends in a space, and values are compared exactly")
	}
	key = at + ".registered_by"
	switch {
	case d.Access == access.Registered:
		oneOf(n, key, string(d.RegisteredBy), string(access.ByVisas), string(access.ByLogin))
	case d.RegisteredBy != "":
		n.problem(key, "remove it, or write access: registered", "only registered datasets have it")
	}
	if d.Access == access.Public && (d.Value != "" || len(d.Issuers)+len(d.Sources)+len(d.By) > 0) {
		n.warn(at+".access", "remove them, or write access: controlled",
			"anybody may ask about a public dataset; value, issuers, sources and by have no effect")
	}
}

// byWords is the vocabulary of a visa's by (GA4GH Passport 1.2, "by").
var byWords = []string{"self", "peer", "system", "so", "dac"}

// checkWhoCounts looks for narrowings that leave nobody.
func (c *Config) checkWhoCounts(n *notes, at string, d *Dataset) {
	for j, issuer := range d.Issuers {
		if !slices.ContainsFunc(c.Issuers, func(i Issuer) bool { return i.Issuer == issuer }) {
			n.problem(item(at+".issuers", j), "copy it from issuers, character by character", "%.80q is not one of the configured issuers", issuer)
		}
	}
	for j, source := range d.Sources {
		key := item(at+".sources", j)
		sourceURL(n, key, source)
		if !slices.ContainsFunc(c.Issuers, func(i Issuer) bool { return slices.Contains(i.Sources, source) }) {
			n.warn(key, "add it to the sources of the issuer that signs for it", "no issuer is trusted for %.80q, so no visa of it counts", source)
		}
	}
	if n.written(at+".by") && len(d.By) == 0 && d.Access != access.Public {
		n.problem(at+".by", "write [dac]", "is empty; no visa would count")
	}
	for j, by := range d.By {
		oneOf(n, item(at+".by", j), by, byWords...)
	}
}
