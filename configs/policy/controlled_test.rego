package candig.access_test

import data.candig.access

permit := {
	"digest": "permit-of-the-committee",
	"iss": "https://dac.example.org/",
	"sub": "somebody",
	"type": "ControlledAccessGrants",
	"value": "https://dac.example.org/d",
	"source": "https://committee.example.org",
	"by": "dac",
	"asserted": 1,
	"expires": 1500,
}

controlled := {
	"issuers": ["https://dac.example.org/"],
	"sources": ["https://committee.example.org"],
}

grants(visa) := {"ControlledAccessGrants": {visa.value: [visa]}}

local := {"id": "g1", "iss": "https://idp.example.org/", "sub": "ada", "created": 1, "until": 1400}

# Row 31.
test_visa_for_the_dataset if {
	ceilings := access.ceilings.d with input as ask(researcher, grants(permit), controlled)
	ceilings == {{
		"granularity": "count",
		"exact": true,
		"rule": "controlled access visa",
		"visas": ["permit-of-the-committee"],
		"grants": [],
		"until": 1500,
	}}
}

test_empty_lists_take_all_that_the_site_trusts if {
	rules(ask(researcher, grants(permit), {})) == {"controlled access visa"}
}

# Row 24: the whole value, letter by letter.
test_value_is_compared_exactly if {
	every value in [
		"https://dac.example.org/D",
		"https://dac.example.org/d/",
		"https://dac.example.org/%64",
		"https://dac.example.org/",
		"https://dac.example.org/dd",
		"",
	] {
		nothing(ask(researcher, grants(object.union(permit, {"value": value})), controlled))
	}
}

# Row 31, the other parts of the tuple.
test_issuer_source_and_by_must_fit if {
	every what in [
		{"iss": "https://other.example.org/"},
		{"iss": "https://dac.example.org"},
		{"source": "https://other.example.org"},
		{"source": "https://no.organization"},
		{"by": "self"},
		{"by": "DAC"},
		{"by": ""},
	] {
		nothing(ask(researcher, grants(object.union(permit, what)), controlled))
	}
}

# Row 25.
test_no_organization_fits_nothing if {
	visa := object.union(permit, {"source": "https://no.organization"})
	nothing(ask(researcher, grants(visa), {}))
	nothing(ask(researcher, grants(visa), {"sources": ["https://no.organization"]}))
}

# Row 53.
test_visa_expires if {
	nothing(ask(researcher, grants(object.union(permit, {"expires": now})), controlled))
	nothing(ask(researcher, grants(object.union(permit, {"expires": 0})), controlled))
	rules(ask(researcher, grants(object.union(permit, {"expires": now + 1})), controlled)) == {"controlled access visa"}
}

test_empty_value_matches_no_visa if {
	nothing(ask(researcher, grants(object.union(permit, {"value": ""})), {"value": ""}))
}

test_without_by_no_visa_counts if {
	nothing(ask(researcher, grants(permit), {"by": []}))
}

test_other_visa_types_do_not_count if {
	nothing(ask(researcher, {"ResearcherStatus": {permit.value: [permit]}}, controlled))
}

test_nobody_gets_nothing if {
	nothing(ask(anonymous, {}, controlled))
	nothing(ask(anonymous, grants(permit), controlled))
	nothing(ask(anonymous, {}, object.union(controlled, {"grants": [object.union(local, {"iss": "", "sub": ""})]})))
}

test_local_grant if {
	ceilings := access.ceilings.d with input as ask(researcher, {}, {"grants": [local]})
	ceilings == {{
		"granularity": "count",
		"exact": true,
		"rule": "local grant",
		"visas": [],
		"grants": ["g1"],
		"until": 1400,
	}}
}

# Row 42.
test_grant_of_somebody_else if {
	nothing(ask(researcher, {}, {"grants": [object.union(local, {"iss": "https://other.example.org/"})]}))
	nothing(ask(researcher, {}, {"grants": [object.union(local, {"sub": "eve"})]}))
}

test_grant_ends if {
	nothing(ask(researcher, {}, {"grants": [object.union(local, {"until": now})]}))
	nothing(ask(object.union(researcher, {"until": now}), {}, {"grants": [local]}))
}

# Two ways in do not conflict.
test_visa_and_grant_together if {
	rules(ask(researcher, grants(permit), {"grants": [local]})) == {"controlled access visa", "local grant"}
}

test_a_grant_lifts_the_threshold_of_open_datasets_too if {
	every level in ["public", "registered"] {
		ceilings := access.ceilings.d with input as ask(researcher, grants(permit), {"access": level})
		some c in ceilings
		c.exact
	}
}

test_controlled_says_what_is_missing if {
	permission := {"a ControlledAccessGrants visa for this dataset, or a local grant"}
	says(ask(researcher, {}, controlled)) == permission
	says(ask(researcher, grants(object.union(permit, {"value": ""})), {"value": ""})) == permission
	says(ask(anonymous, {}, controlled)) == {"an accepted passport"}
	says(ask(anonymous, grants(object.union(permit, {"by": "self"})), controlled)) == {"an accepted passport"}
}

test_controlled_says_why_a_visa_is_not_enough if {
	flaws := {
		"expired": {"expires": now},
		"issuer": {"iss": "https://other.example.org/"},
		"source": {"source": "https://other.example.org"},
		"a by": {"by": "self"},
	}
	every word, what in flaws {
		said := says(ask(researcher, grants(object.union(permit, what)), controlled))
		count(said) == 1
		some sentence in said
		contains(sentence, word)
		contains(sentence, "permit-of-th ")
	}
}

test_controlled_says_that_no_organization_fits if {
	visa := object.union(permit, {"source": "https://no.organization"})
	some sentence in says(ask(researcher, grants(visa), {}))
	contains(sentence, "no organization")
}

test_who_is_let_in_misses_nothing if {
	says_nothing(ask(researcher, grants(permit), controlled))
	flawed := object.union(permit, {"digest": "another", "by": "self"})
	says_nothing(ask(researcher, {"ControlledAccessGrants": {permit.value: [permit, flawed]}}, controlled))
}

test_open_datasets_miss_no_permission if {
	flawed := grants(object.union(permit, {"by": "self"}))
	says(ask(researcher, flawed, {"access": "registered", "registered_by": "visas"})) == missing_visas
	every dataset in [{"access": "public"}, {"access": "registered", "registered_by": "login"}] {
		says_nothing(ask(researcher, {}, dataset))
		says_nothing(ask(researcher, flawed, dataset))
	}
}

# Rows 42 and 45: a grant is for the identity it names and for those that accepted
# links join to it, no longer than the link.
test_grant_of_a_linked_identity if {
	caller := object.union(researcher, {"iss": "https://other.example.org/", "sub": "a.l."})
	linked := object.union(caller, {"linked": [{"iss": "https://idp.example.org/", "sub": "ada", "until": 1300}]})
	nothing(ask(caller, {}, {"grants": [local]}))
	ceilings := access.ceilings.d with input as ask(linked, {}, {"grants": [local]})
	{[c.rule, c.until] | some c in ceilings} == {["local grant", 1300]}
	ended := object.union(caller, {"linked": [{"iss": "https://idp.example.org/", "sub": "ada", "until": now}]})
	nothing(ask(ended, {}, {"grants": [local]}))
}
