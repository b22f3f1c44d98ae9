package passport

import (
	"net/url"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// parseLinks reads the value of a LinkedIdentities visa: enc(sub),enc(iss) pairs
// joined by ';', split first and percent-decoded once afterwards (GA4GH Passport
// 1.2, "LinkedIdentities"; passports.md, row 44). One pair that cannot be read makes
// the whole value unreadable, for then nobody knows what its issuer meant.
func parseLinks(value string) ([]trust.Identity, *jose.Error) {
	if strings.Count(value, ";") >= maxPairs {
		return nil, refuse(trust.ReasonLinkValue, "the visa links more than the %d identities that are read: ask its issuer for several visas", maxPairs)
	}
	var pairs []trust.Identity
	for item := range strings.SplitSeq(value, ";") {
		subject, issuer, found := strings.Cut(item, ",")
		if !found || strings.Contains(issuer, ",") {
			return nil, refuse(trust.ReasonLinkValue, "a linked identity is not a subject and an issuer with one comma between them: the visa's issuer must correct it")
		}
		pair := trust.Identity{Issuer: decoded(issuer), Subject: decoded(subject)}
		if !identifier(pair.Issuer, maxURLClaim) || !identifier(pair.Subject, maxURLClaim) {
			return nil, refuse(trust.ReasonLinkValue, "a linked identity is empty, too long, not percent-encoded as it should be, or has characters that do not print: the visa's issuer must correct it")
		}
		if twiceEncoded(pair.Issuer) {
			return nil, refuse(trust.ReasonLinkValue, "the issuer of a linked identity is percent-encoded twice: the visa's issuer must correct it")
		}
		if !slices.Contains(pairs, pair) {
			pairs = append(pairs, pair)
		}
	}
	return pairs, nil
}

// decoded undoes the percent-encoding once, and gives "" for what is none. '+' is
// itself.
func decoded(s string) string {
	text, err := url.PathUnescape(s)
	if err != nil {
		return ""
	}
	return text
}

// twiceEncoded tells an issuer that is still encoded after decoding. No issuer has
// its colon or its slashes encoded, while a subject may hold any text.
func twiceEncoded(issuer string) bool {
	upper := strings.ToUpper(issuer)
	return strings.Contains(upper, "%3A") || strings.Contains(upper, "%2F") || strings.Contains(upper, "%25")
}

// mayLink tells whether this site believes the issuer about identities of another
// one: link authority, without which any trusted committee could merge two people
// (passports.md, row 47). Issuers are compared exactly.
func mayLink(policy trust.IssuerPolicy, other string) bool {
	return other == policy.Issuer || slices.Contains(policy.LinksFor, other)
}

// linkable reads the pairs of a LinkedIdentities visa and keeps those that its
// issuer may link. strangers counts the others.
func linkable(value string, policy trust.IssuerPolicy) (pairs []trust.Identity, strangers int, refusal *jose.Error) {
	all, refusal := parseLinks(value)
	if refusal != nil {
		return nil, 0, refusal
	}
	pairs = slices.DeleteFunc(all, func(pair trust.Identity) bool { return !mayLink(policy, pair.Issuer) })
	strangers = len(all) - len(pairs)
	if len(pairs) == 0 {
		return nil, 0, refuse(trust.ReasonLinkAuthority, "this site does not let the visa's issuer say who is who at the issuers that it names: its operator decides whom it believes about that")
	}
	return pairs, strangers, nil
}

// stored judges a kept link anew, as if its visa had come with this request: what
// the site trusts, which keys it believes and what it revoked may have changed since.
// It gives the link with its end as of now.
func (a *attempt) stored(link trust.Link) (trust.Link, bool) {
	trusted, ok := a.view.Lookup(link.A.Issuer)
	policy := trusted.Policy
	if !ok || !policy.Is(trust.KindVisa) || len(policy.ValuePrefixes) > 0 || link.Source == noOrganization ||
		!slices.Contains(policy.VisaTypes, trust.VisaLinkedIdentities) || !slices.Contains(policy.Sources, link.Source) ||
		!mayLink(policy, link.B.Issuer) {
		return link, false
	}
	// An end that is revoked does not undo the link: it makes the person nobody.
	if a.revoked.Issuer(link.A.Issuer) || a.revoked.Issuer(link.B.Issuer) || a.revoked.JTI(link.A.Issuer, link.JTI) ||
		a.revoked.Token(link.Visa) || a.revoked.Key(link.KeyID) {
		return link, false
	}
	if policy.MaxAssertedAge > 0 {
		link.Until = earliest(link.Until, link.Asserted.Add(policy.MaxAssertedAge))
	}
	i := slices.IndexFunc(trusted.Keys, func(key trust.BelievedKey) bool { return key.Thumbprint == link.KeyID })
	if i < 0 {
		return link, false
	}
	link.Until = earliest(link.Until, trusted.Keys[i].Until).UTC()
	return link, a.now.Before(link.Until)
}
