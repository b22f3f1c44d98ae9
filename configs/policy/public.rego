# Public datasets: anybody may have a count, never below the privacy threshold.
package candig.access

ceilings[dataset.id] contains {
	"granularity": "count",
	"exact": false,
	"rule": "public",
	"visas": [],
	"grants": [],
} if {
	some dataset in input.datasets
	dataset.access == "public"
}
