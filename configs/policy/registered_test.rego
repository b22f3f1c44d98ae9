package candig.access_test

import data.candig.access

# The two visas of Registered Access, of one person, for one policy.
terms := {
	"digest": "terms",
	"iss": "https://ra.example.org/",
	"sub": "r1",
	"type": "AcceptedTermsAndPolicies",
	"value": "https://doi.example.org/10.1",
	"source": "https://uni.example.org",
	"by": "self",
	"asserted": 1,
	"expires": 1500,
}

status := object.union(terms, {"digest": "status", "type": "ResearcherStatus", "by": "so", "expires": 1800})

by_visas := {"access": "registered", "value": "", "by": []}

by_login := {"access": "registered", "registered_by": "login", "value": "", "by": []}

registered_visas(t, s) := {
	"AcceptedTermsAndPolicies": {t.value: [of_somebody(t)]},
	"ResearcherStatus": {s.value: [of_somebody(s)]},
}

# A visa without links is of its own identity, for ever.
of_somebody(v) := object.union({"person": concat(" ", [v.iss, v.sub]), "person_until": 9223372036854775807}, v)

changed(visa, what) := object.union(visa, what)

test_login_is_enough_where_the_dataset_says_so if {
	rules(ask(researcher, {}, by_login)) == {"registered by login"}
	nothing(ask(anonymous, {}, by_login))
	nothing(ask(researcher, {}, by_visas))
}

test_login_ends_with_the_passport if {
	nothing(ask(object.union(researcher, {"until": now}), {}, by_login))
}

# Row 30.
test_both_visas_of_one_person if {
	ceilings := access.ceilings.d with input as ask(researcher, registered_visas(terms, status), by_visas)
	ceilings == {{
		"granularity": "count",
		"exact": false,
		"rule": "registered by visas",
		"visas": ["terms", "status"],
		"grants": [],
		"until": 1500,
	}}
}

test_one_visa_is_not_enough if {
	visas := registered_visas(terms, status)
	nothing(ask(researcher, object.filter(visas, {"ResearcherStatus"}), by_visas))
	nothing(ask(researcher, object.filter(visas, {"AcceptedTermsAndPolicies"}), by_visas))
}

test_values_must_agree if {
	nothing(ask(researcher, registered_visas(terms, changed(status, {"value": "https://doi.example.org/10.2"})), by_visas))
}

# Row 42: the same sub at another issuer is another person.
test_visas_must_be_of_one_identity if {
	nothing(ask(researcher, registered_visas(terms, changed(status, {"iss": "https://other.example.org/"})), by_visas))
	nothing(ask(researcher, registered_visas(terms, changed(status, {"sub": "r2"})), by_visas))
}

# Rows 30 and 43: two identities that accepted links join are one person, until
# the link ends, whatever the visas' own ends (row 55).
test_linked_identities_are_one_person if {
	joined := {"person": "https://ra.example.org/ r1", "person_until": 1200}
	elsewhere := changed(status, object.union(joined, {"iss": "https://other.example.org/", "sub": "x"}))
	ceilings := access.ceilings.d with input as ask(researcher, registered_visas(changed(terms, joined), elsewhere), by_visas)
	{c.until | some c in ceilings} == {1200}
}

test_an_expired_link_joins_nobody if {
	joined := {"person": "https://ra.example.org/ r1", "person_until": now}
	elsewhere := changed(status, object.union(joined, {"iss": "https://other.example.org/", "sub": "x"}))
	nothing(ask(researcher, registered_visas(changed(terms, joined), elsewhere), by_visas))
}

# A link does not shorten what needs none.
test_one_identity_needs_no_link if {
	joined := {"person": "https://ra.example.org/ r1", "person_until": now}
	visas := registered_visas(changed(terms, joined), changed(status, joined))
	rules(ask(researcher, visas, by_visas)) == {"registered by visas"}
}

test_the_value_the_dataset_takes if {
	rules(ask(researcher, registered_visas(terms, status), changed(by_visas, {"value": terms.value}))) == {"registered by visas"}
	nothing(ask(researcher, registered_visas(terms, status), changed(by_visas, {"value": "https://doi.example.org/10.10"})))
}

test_empty_values_agree_on_nothing if {
	nothing(ask(researcher, registered_visas(changed(terms, {"value": ""}), changed(status, {"value": ""})), by_visas))
}

# Row 28.
test_terms_need_a_by if {
	nothing(ask(researcher, registered_visas(changed(terms, {"by": ""}), status), by_visas))
	rules(ask(researcher, registered_visas(terms, changed(status, {"by": ""})), by_visas)) == {"registered by visas"}
}

# Row 27.
test_by_the_dataset_takes if {
	nothing(ask(researcher, registered_visas(terms, changed(status, {"by": ""})), changed(by_visas, {"by": ["self", "so"]})))
	nothing(ask(researcher, registered_visas(terms, status), changed(by_visas, {"by": ["so"]})))
	rules(ask(researcher, registered_visas(terms, status), changed(by_visas, {"by": ["self", "so"]}))) == {"registered by visas"}
}

test_issuers_and_sources_of_both_visas if {
	nothing(ask(researcher, registered_visas(terms, status), changed(by_visas, {"issuers": ["https://dac.example.org/"]})))
	nothing(ask(
		researcher,
		registered_visas(terms, changed(status, {"source": "https://elsewhere.example.org"})),
		changed(by_visas, {"sources": ["https://uni.example.org"]}),
	))
}

# Rows 53 and 55: one expired visa ends it.
test_expired_registered_visas if {
	nothing(ask(researcher, registered_visas(changed(terms, {"expires": now}), status), by_visas))
	nothing(ask(researcher, registered_visas(terms, changed(status, {"expires": now})), by_visas))
}

# An anonymous caller has no visas; if it had, they would not count.
test_visas_need_a_sign_in if {
	nothing(ask(anonymous, registered_visas(terms, status), by_visas))
}

# What makes a caller known opens registered datasets only.
test_registered_rules_are_for_registered_datasets if {
	every way in ["login", "visas"] {
		nothing(ask(researcher, registered_visas(terms, status), changed(by_visas, {"access": "controlled", "registered_by": way})))
	}
}

test_each_dataset_has_one_way_to_be_registered if {
	visas := registered_visas(terms, status)
	rules(ask(researcher, visas, by_login)) == {"registered by login"}
	rules(ask(researcher, visas, by_visas)) == {"registered by visas"}
}

missing_visas := {concat(" ", [
	"AcceptedTermsAndPolicies and ResearcherStatus visas of one person,",
	"with the value the dataset takes",
])}

says(asked) := sentences if {
	sentences := access.missing.d with input as asked
}

says_nothing(asked) if {
	not access.missing.d with input as asked
}

test_registered_says_what_is_missing if {
	says(ask(researcher, {}, by_visas)) == missing_visas
	says(ask(anonymous, {}, by_visas)) == {"an accepted passport"}
	says(ask(anonymous, {}, by_login)) == {"an accepted passport"}
	says_nothing(ask(researcher, registered_visas(terms, status), by_visas))
	says_nothing(ask(researcher, {}, by_login))
	says_nothing(ask(researcher, {}, object.union(by_visas, {"access": "public"})))
	says_nothing(ask(anonymous, {}, object.union(by_visas, {"access": "public"})))
}

# A sign-in that ran out is none, and a dataset that it opened says so.
test_expired_sign_in_is_missing if {
	says(ask(object.union(researcher, {"until": now}), {}, by_login)) == {"an accepted passport"}
}
