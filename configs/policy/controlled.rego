# Controlled access: the caller was granted this very dataset, by a committee that
# says so in a visa or by this site itself. Both give exact counts, and both also
# count for datasets that are open to more people.
package candig.access

# Value, source, by and issuer are matched together, each by exact comparison:
# the right value from a party that does not speak for the dataset gives nothing.
# A dataset that lists no by takes no visa.
ceilings[dataset.id] contains {
	"granularity": "count",
	"exact": true,
	"rule": "controlled access visa",
	"visas": [visa.digest],
	"grants": [],
	"until": visa.expires,
} if {
	signed_in
	some dataset in input.datasets
	dataset.value != ""
	some visa in input.visas.ControlledAccessGrants[dataset.value]
	visa.by in dataset.by
	fits(visa, dataset)
}

# A local grant is for one identity, the pair of issuer and sub, and for those that
# are linked to it.
ceilings[dataset.id] contains {
	"granularity": "count",
	"exact": true,
	"rule": "local grant",
	"visas": [],
	"grants": [grant.id],
	"until": min({grant.until, linked_until}),
} if {
	signed_in
	some dataset in input.datasets
	some grant in dataset.grants
	grant.until > input.now
	some linked_until in is_caller(grant)
	linked_until > input.now
}

# Until when the identity that a grant names is the caller's.
is_caller(grant) := ends if {
	own := {input.caller.until |
		grant.iss == input.caller.iss
		grant.sub == input.caller.sub
	}
	linked := {identity.until |
		some identity in input.caller.linked
		grant.iss == identity.iss
		grant.sub == identity.sub
	}
	ends := own | linked
}

missing[dataset.id] contains "a ControlledAccessGrants visa for this dataset, or a local grant" if {
	signed_in
	some dataset in input.datasets
	dataset.access == "controlled"
	not ceilings[dataset.id]
	not unused[dataset.id]
}

# The caller does hold visas for the dataset: say why they are not enough.
missing[dataset.id] contains flaw(visa, "has expired") if {
	signed_in
	some dataset in input.datasets
	some visa in unused[dataset.id]
	visa.expires <= input.now
}

missing[dataset.id] contains flaw(visa, "is from an issuer that the dataset does not take") if {
	signed_in
	some dataset in input.datasets
	some visa in unused[dataset.id]
	not takes(dataset.issuers, visa.iss)
}

missing[dataset.id] contains flaw(visa, "is from a source that the dataset does not take") if {
	signed_in
	some dataset in input.datasets
	some visa in unused[dataset.id]
	not takes(dataset.sources, visa.source)
}

missing[dataset.id] contains flaw(visa, "has a source that says that no organization stands behind it") if {
	signed_in
	some dataset in input.datasets
	some visa in unused[dataset.id]
	visa.source == no_organization
}

missing[dataset.id] contains flaw(visa, "has a by that the dataset does not take") if {
	signed_in
	some dataset in input.datasets
	some visa in unused[dataset.id]
	not visa.by in dataset.by
}

flaw(visa, what) := sprintf("the visa %s for this dataset %s", [substring(visa.digest, 0, 12), what])

unused[dataset.id] contains visa if {
	signed_in
	some dataset in input.datasets
	dataset.access == "controlled"
	dataset.value != ""
	not ceilings[dataset.id]
	some visa in input.visas.ControlledAccessGrants[dataset.value]
}
