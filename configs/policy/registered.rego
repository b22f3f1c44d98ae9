# Registered datasets: known researchers may have a count, never below the privacy
# threshold. Beacon does not say what "known" means, so each dataset says it:
# registered_by "login" is any accepted passport, "visas" is Registered Access as
# GA4GH Passport 1.2 defines it.
package candig.access

ceilings[dataset.id] contains {
	"granularity": "count",
	"exact": false,
	"rule": "registered by login",
	"visas": [],
	"grants": [],
	"until": input.caller.until,
} if {
	signed_in
	some dataset in input.datasets
	dataset.access == "registered"
	dataset.registered_by == "login"
}

# Both visas carry the same value, and speak of the same person: one sub at one
# issuer, or two that visas join which this site believes. The same sub elsewhere is
# somebody else.
ceilings[dataset.id] contains {
	"granularity": "count",
	"exact": false,
	"rule": "registered by visas",
	"visas": [terms.digest, status.digest],
	"grants": [],
	"until": min({terms.expires, status.expires} | links_end(terms, status)),
} if {
	signed_in
	some dataset in input.datasets
	dataset.access == "registered"
	dataset.registered_by == "visas"
	some value, accepted in input.visas.AcceptedTermsAndPolicies
	value_fits(value, dataset)
	some terms in accepted
	terms.by != "" # the standard demands it of this type
	takes(dataset.by, terms.by)
	fits(terms, dataset)
	some status in input.visas.ResearcherStatus[value]
	status.person == terms.person
	every link_end in links_end(terms, status) {
		link_end > input.now
	}
	takes(dataset.by, status.by)
	fits(status, dataset)
}

# The end of the links that make two identities one person.
links_end(a, b) := set() if same_identity(a, b)

links_end(a, b) := {a.person_until, b.person_until} if not same_identity(a, b)

same_identity(a, b) if {
	a.iss == b.iss
	a.sub == b.sub
}

# The value is the policy that was accepted. A dataset without a value takes any,
# as long as both visas agree on it.
value_fits(value, dataset) if {
	dataset.value == ""
	value != ""
}

value_fits(value, dataset) if {
	dataset.value != ""
	value == dataset.value
}

missing[dataset.id] contains "AcceptedTermsAndPolicies and ResearcherStatus visas of one person, with the value the dataset takes" if {
	signed_in
	some dataset in input.datasets
	dataset.access == "registered"
	not ceilings[dataset.id]
}
