package candig.access_test

import data.candig.access

test_public_is_for_anybody if {
	every caller in [anonymous, researcher] {
		rules(ask(caller, {}, {"access": "public", "value": "", "by": []})) == {"public"}
	}
}

test_public_obeys_the_threshold if {
	ceilings := access.ceilings.d with input as ask(anonymous, {}, {"access": "public"})
	every c in ceilings {
		not c.exact
		c.granularity == "count"
	}
}

test_only_public_is_public if {
	every level in ["registered", "controlled", "PUBLIC", ""] {
		nothing(ask(anonymous, {}, {"access": level}))
	}
}
