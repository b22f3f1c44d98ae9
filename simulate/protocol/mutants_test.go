package protocol

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// edit takes words out of one file of today's source.
type edit struct{ file, old, new string }

// mutant is the code without one rule. Nothing of it is in the production code: the compiler
// is handed another file.
type mutant struct {
	name  string
	test  string
	edits []edit
}

const believe = "trust/issuers/believe.go"

var rules = []mutant{
	{"no rollback check", "TestEvidence", []edit{{"trust/issuers/author.go", "case c > 0:\n\t\treturn newer", "case c != 0:\n\t\treturn newer"}}},
	{"votes counted per message", "TestEvidence", []edit{
		{"trust/issuers/bundle.go", "if seen[o.Issuer] {", "if false {"},
		{believe, "group := groupOf(p, w.Site)", "group := groupOf(p, w.Site) + trust.SiteName(o.At.String())"}}},
	{"any member votes", "TestEvidence", []edit{{believe, "w.Site == ev.Self || !slices.Contains(p.Witnesses, w.Site) ||", "w.Site == ev.Self ||"}}},
	{"keys pooled across issuers", "TestEvidence", []edit{{believe, "if o.Issuer != p.Issuer || !fresh(", "if !fresh("}}},
	{"tombstone overwritten", "TestEvidence", []edit{{"trust/issuers/tomb.go", "if now.Before(t.Until) && !slices.Contains(newer.tombs, t) {", "if false {"}}},
	{"any site may tombstone", "TestEvidence", []edit{{believe, `if ev.Home != "" && w.Site == ev.Home && !w.Forked {`, "if !w.Forked {"}}},
	{"home without the issuer's own word", "TestEvidence", []edit{{"trust/issuers/state.go", " || s.originNames(issuer) != s.ids[site] {", " {"}}},
	{"no epoch", "TestEvidence", []edit{{"trust/issuers/author.go", "case a == nil || h.Epoch > a.epoch():", "case a == nil:"}}},
	{"no future check", "TestEvidence", []edit{{"trust/issuers/records.go", "if h.issued().After(now.Add(skew)) {", "if false {"}}},
	{"send before write", "TestEvidence", []edit{{"trust/issuers/own.go", "head = []byte(sealed.Head)", "head = []byte(sealed.Head)\n\t\td.mesh.Broadcast(head)"}}},
	{"any member key signs", "TestEvidence", []edit{{"trust/issuers/records.go", "return key, key != nil && id == node }", "return key, key != nil }"}}},
	{"fork ignored", "TestEvidence", []edit{{"trust/issuers/author.go", "\t\treturn forking\n", "\t\treturn stale\n"}}},
	{"stale evidence counts", "TestEvidence", []edit{{believe, "return now.Before(at.Add(stale)) && !at.After", "return !at.After"},
		{believe, "case !c.now.Before(ownUntil):", "case false:"}}},
	{"head root not compared", "TestEvidence", []edit{{"trust/issuers/bundle.go", "if head.Count != len(hashes) || head.Root != rootOf(hashes) {", "if head.Count != len(hashes) {"}}},
	{"quarantine of total replacement off", "TestEvidence", []edit{{"trust/issuers/continuity.go", "if len(old.Prints) == 0 || !disjoint && !moved ||", "if true || !moved ||"}}},
	{"quarantine of shared keys off", "TestEvidence", []edit{{believe, "if len(issuers) < 2 {", "if true {"}}},
	{"no pre-rotation", "TestIdentity", []edit{{"trust/roots/chain.go", "if !slices.Contains(before.Next, k.ID()) {", "if false && !slices.Contains(before.Next, k.ID()) {"},
		{"trust/roots/chain.go", "if err := signedBy(signers, r.Roots, before.NextThreshold); err != nil {", "if err := signedBy(signers, r.Roots, 1); err != nil {"}}},
	{"prev of a site record not compared", "TestIdentity", []edit{{"trust/roots/chain.go", "r.Update != last.Update+1 || r.Prev != last.digest", "r.Update != last.Update+1"}}},
	{"fork of the site record ignored", "TestIdentity", []edit{{"trust/roots/standing.go", "return s.chain != nil && s.fork == s.chain.last().Epoch", "return false"}}},
	{"expel ignored", "TestRoster", []edit{{"trust/members/roster.go", "case ev.Local[id].Blocked:", "case false:"}}},
	{"endorsement threshold 1", "TestRoster", []edit{{"trust/members/roster.go", "len(by) >= min(ev.Genesis.Rule, len(in)) && len(by) > 0", "len(by) > 0"}}},
	{"strangers endorse", "TestRoster", []edit{{"trust/members/roster.go", "if in[w.By] {", "if true {"}}},
	{"replay memory off", "TestForwarding", []edit{{"federation/replay.go", "[id]; was {", "[id]; was && false {"}}},
	{"exporter not compared", "TestForwarding", []edit{{"federation/assertion.go", "case subtle.ConstantTimeCompare(a.Exporter[:], in.Exporter[:]) != 1:", "case subtle.ConstantTimeCompare(nil, nil) != 1:"}}},
	{"aud not compared", "TestForwarding", []edit{{"federation/assertion.go", "case a.Audience != o.Node:", "case false:"}}},
	{"second hop allowed", "TestForwarding", []edit{{"federation/assertion.go", "case *a.Hops != 0:", "case false:"}}},
}

const root = "../.."

// Every mutant is one of today's source: what it takes away is there, once.
func TestMutantsAreOfTodaysSource(t *testing.T) {
	for _, m := range rules {
		for _, e := range m.edits {
			b, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(b), e.old); n != 1 {
				t.Errorf("mutant %q: %q stands %d times in %s, not once", m.name, e.old, n, e.file)
			}
		}
	}
}

// TestMutants takes each rule away in turn. It runs with -mutants N: up to N seeds for each.
func TestMutants(t *testing.T) {
	if *mutants == 0 {
		t.Skip("runs with -mutants N")
	}
	for _, m := range rules {
		t.Run(m.name, func(t *testing.T) {
			binary := m.build(t)
			caught, ran := 0, 0
			for seed := range *mutants {
				ran++
				b, err := exec.Command(binary, "-test.run", "^"+m.test+"$", "-seeds", "1", "-seed", fmt.Sprint(seed), "-shrink=false", "-test.timeout", "120s").CombinedOutput()
				// A mutant counts as caught by an invariant, and not by falling over.
				if err != nil && strings.Contains(string(b), "--- FAIL") && !strings.Contains(string(b), "panic:") {
					caught++
					if !*count {
						break
					}
				}
			}
			t.Logf("| %s | %s | %d of %d |", m.name, m.test, caught, ran)
			if caught == 0 {
				t.Errorf("no seed of %d caught it", ran)
			}
		})
	}
}

// build makes the test binary in which the rule is not there.
func (m mutant) build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	texts := map[string]string{}
	for _, e := range m.edits {
		name, err := filepath.Abs(filepath.Join(root, e.file))
		if err != nil {
			t.Fatal(err)
		}
		if texts[name] == "" {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			texts[name] = string(b)
		}
		texts[name] = strings.Replace(texts[name], e.old, e.new, 1)
	}
	replace := map[string]string{}
	for name, text := range texts {
		other := filepath.Join(dir, fmt.Sprint(len(replace), ".go"))
		if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[name] = other
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "mutant.test")
	if out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("it does not compile: %v\n%s", err, out)
	}
	return binary
}
