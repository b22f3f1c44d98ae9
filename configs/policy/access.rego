# Who may have how much of an answer about which dataset.
#
# Copy this directory, change it, set policy.dir in candignode.yaml to the copy,
# and run `candignode policy check --dir DIR`: it tells what is wrong before the
# node does. The directory replaces this policy as a whole.
#
# What the node reads from this package:
#
#   visa_types     the visa types that the policy looks at. Visas of other types
#                  never reach it.
#   ceilings[id]   a set: each member is one way in which the caller may have an
#                  answer about the dataset, with
#                    granularity  "boolean", "count" or "record": the most that is given
#                    exact        true lifts the privacy threshold
#                    rule         what to write in the audit log
#                    visas        digests of the visas this relies on, or []
#                    grants       ids of the local grants this relies on, or []
#                    until        optional: nanoseconds since 1970, when it ends
#                  The node takes the best one, lowers it to what was asked, and
#                  ends it with the first thing it relies on, whatever until says.
#                  No member: nothing is given. Two members never conflict.
#   missing[id]    a set of sentences for the audit log: what the caller lacks.
#
# What the policy is handed:
#
#   input.now                      nanoseconds since 1970. There is no other clock:
#                                  the same input always gives the same decision.
#   input.site                     this site's name
#   input.caller                   {anonymous, iss, sub, origin, unbound, until, person, linked}
#                                  where linked are further identities of the caller, joined by
#                                  visas that this site believes: {iss, sub, until}
#   input.visas[type][value]       array of accepted visas with exactly that type and value,
#                                  {digest, iss, sub, type, value, source, by, asserted, expires,
#                                  person, person_until}; visas of one person have the same person,
#                                  for as long as person_until where their iss and sub differ
#   input.request                  {entity, granularity}
#   dataset             {access, value, issuers, sources, by, registered_by, grants}
#                                  where grants are the caller's own: {id, iss, sub, created, until}
#
# Signature, issuer, form and scope of every visa were checked before. When the
# policy is loaded it is tried on made-up callers, and refused if it lets one of
# them at controlled data who was granted none; so is a misspelt member of input, a
# reference to data that no rule defines, and every function that could read the
# network, the clock or the machine.
package candig.access

visa_types := {
	"AcceptedTermsAndPolicies",
	"ControlledAccessGrants",
	"ResearcherStatus",
}

# A caller who showed a passport that has not run out.
signed_in if {
	not input.caller.anonymous
	input.caller.until > input.now
}

missing[dataset.id] contains "an accepted passport" if {
	not signed_in
	some dataset in input.datasets
	dataset.access != "public"
}

# The visa is alive, and from an issuer and a source that the dataset takes.
fits(visa, dataset) if {
	visa.expires > input.now
	visa.source != no_organization
	takes(dataset.sources, visa.source)
	takes(dataset.issuers, visa.iss)
}

# A dataset without a list takes all that the site trusts.
takes([], _)

takes(list, item) if item in list

# By this source a visa says that no organization stands behind it (GA4GH
# Passport 1.2, "source"): it fits no dataset, not even one that takes every source.
no_organization := "https://no.organization"
