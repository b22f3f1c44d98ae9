# Sample input for the tests of this policy, and tests of what all rules share.
# Run them with `candignode policy test --dir DIR`.
package candig.access_test

import data.candig.access

now := 1000

# One researcher at one issuer, signed in until 2000.
researcher := {
	"anonymous": false,
	"iss": "https://idp.example.org/",
	"sub": "ada",
	"origin": "",
	"unbound": false,
	"until": 2000,
	"person": "https://idp.example.org/ ada",
	"linked": [],
}

anonymous := {"anonymous": true, "iss": "", "sub": "", "origin": "", "unbound": false, "until": 0, "person": " ", "linked": []}

# A question about one dataset. Members of dataset that matter are given, the
# others take what an operator's configuration gives them.
ask(caller, visas, dataset) := {
	"now": now,
	"site": "uhn",
	"caller": caller,
	"visas": visas,
	"request": {"entity": "g_variants", "granularity": "count"},
	"datasets": [object.union(plain, dataset)],
}

plain := {
	"id": "d",
	"access": "controlled",
	"value": "https://dac.example.org/d",
	"issuers": [],
	"sources": [],
	"by": ["dac"],
	"registered_by": "visas",
	"grants": [],
}

rules(asked) := found if {
	found := {c.rule | some c in access.ceilings.d} with input as asked
}

nothing(asked) if count(rules(asked)) == 0

# A question about no dataset is no error.
test_no_datasets_no_ceilings if {
	access.ceilings == {} with input as object.union(ask(researcher, {}, {}), {"datasets": []})
}

# Row 53: what expires now has expired.
test_sign_in_expires_at_until if {
	access.signed_in with input as ask(object.union(researcher, {"until": now + 1}), {}, {})
	not access.signed_in with input as ask(object.union(researcher, {"until": now}), {}, {})
	not access.signed_in with input as ask(anonymous, {}, {})
}

test_anonymous_is_never_signed_in if {
	not access.signed_in with input as ask(object.union(anonymous, {"until": 5000}), {}, {})
}

# Each dataset of a question is judged by itself.
test_datasets_do_not_bleed if {
	asked := object.union(ask(researcher, {}, {}), {"datasets": [
		object.union(plain, {"id": "open", "access": "public"}),
		object.union(plain, {"id": "closed"}),
	]})
	ceilings := access.ceilings with input as asked
	object.keys(ceilings) == {"open"}
}
