package protocol

import (
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/members"
	"github.com/candignode/candignode/trust/roots"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func keyOf(name string) ed25519.PrivateKey { return newIdentity(name).key }

func publicOf(name string) ed25519.PublicKey {
	k, _ := keyOf(name).Public().(ed25519.PublicKey)
	return k
}

// incept makes a site's first record, signed by NAME root 0, which commits to NAME root 1.
func incept(t *testing.T, name string) *roots.Chain {
	t.Helper()
	node, _ := roots.KeyOf(publicOf(name))
	c, err := roots.Incept(roots.Record{Name: trust.SiteName(name), Nodes: []roots.Node{{ID: node.ID(), Key: node, Addrs: []string{"n.example.org:1"}}}},
		[]crypto.Signer{keyOf(name + " root 0")}, []ed25519.PublicKey{publicOf(name + " root 1")}, noon)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// forged signs a record as any key holder can, whatever the protocol says.
func forged(t *testing.T, r roots.Record, by string) roots.Signed {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := jose.SealBytes(roots.Type, keyOf(by), b)
	if err != nil {
		t.Fatal(err)
	}
	return roots.Signed(envelope)
}

// TestIdentity lets an owner update and rotate, and a thief of today's root key or of the
// node key try what it can (invariants 5 and 6).
func TestIdentity(t *testing.T) {
	for i := range uint64(*seeds) {
		seed := *first + i
		random := rand.New(rand.NewPCG(seed, 6))
		c, epoch := incept(t, "owner"), 0
		for step := range 20 {
			root, next := fmt.Sprint("owner root ", epoch), fmt.Sprint("owner root ", epoch+1)
			r := c.Record()
			r.Site, r.Prev = c.ID(), c.Digest()
			today, _ := roots.KeyOf(publicOf(root))
			thief, _ := roots.KeyOf(publicOf("thief"))
			switch what := random.IntN(6); what {
			case 0:
				updated, err := c.Update(func(r *roots.Record) { r.Display = fmt.Sprint(step) }, []crypto.Signer{keyOf(root)}, noon)
				if err != nil {
					t.Fatalf("seed %d step %d: an owner's update: %v", seed, step, err)
				}
				c = updated
			case 1:
				rotated, err := c.Rotate(roots.Rotation{Signers: []crypto.Signer{keyOf(next)}, Next: []ed25519.PublicKey{publicOf(fmt.Sprint("owner root ", epoch+2))}}, noon)
				if err != nil {
					t.Fatalf("seed %d step %d: an owner's rotation: %v", seed, step, err)
				}
				c, epoch = rotated, epoch+1
			case 2: // whoever stole today's root rotates to it
				r.Epoch, r.Update, r.Roots, r.Next = r.Epoch+1, 0, []roots.Key{today}, []trust.NodeID{thief.ID()}
				if _, err := c.Append(forged(t, r, root)); err == nil {
					t.Fatalf("Authorship (6), stolen root: seed %d step %d: it rotated to keys that were not committed to", seed, step)
				}
			case 3: // the thief of a node key signs the site's record
				r.Update++
				if _, err := c.Append(forged(t, r, "owner")); err == nil {
					t.Fatalf("Authorship (6), stolen node key: seed %d step %d: it changed the site's record", seed, step)
				}
			case 4: // the record before is not the one that is held
				r.Update, r.Prev = r.Update+1, trust.DigestOfString("another past")
				if _, err := c.Append(forged(t, r, root)); err == nil {
					t.Fatalf("Authorship (6): seed %d step %d: an update that follows another record was taken", seed, step)
				}
			case 5: // today's root signs two records for one place
				r.Update++
				r.Display = "one"
				a, errA := c.Append(forged(t, r, root))
				r.Display = "another"
				b, errB := c.Append(forged(t, r, root))
				if errA != nil || errB != nil {
					t.Fatalf("seed %d step %d: %v, %v", seed, step, errA, errB)
				}
				x, y := roots.Stand(a).Join(roots.Stand(b)), roots.Stand(b).Join(roots.Stand(a))
				if !x.Forked() || !y.Forked() {
					t.Fatalf("ForkDetected (5): seed %d step %d: two records for one place are no fork", seed, step)
				}
				if x.Chain().Digest() != y.Chain().Digest() {
					t.Fatalf("MergeIsJoin (10): seed %d step %d: the order of arrival decides", seed, step)
				}
			}
		}
	}
}

// TestRoster makes networks in which some sites speak for others, with and without leave, and
// counts again who may be in (invariants 11 and 15).
func TestRoster(t *testing.T) {
	names := []string{"v", "f", "g", "m", "n", "o", "p"}
	chains := map[string]*roots.Chain{}
	byID := map[trust.SiteID]string{}
	for _, n := range names {
		chains[n] = incept(t, n)
		byID[chains[n].ID()] = n
	}
	for i := range uint64(*seeds) * 50 {
		seed := *first*50 + i
		random := rand.New(rand.NewPCG(seed, 15))
		genesis, err := members.NewGenesis("n", chains["v"].ID(), chains["f"].ID(), chains["g"].ID())
		if err != nil {
			t.Fatal(err)
		}
		ev := members.Evidence{Genesis: genesis, Self: chains["v"].ID(), Local: map[trust.SiteID]members.Local{}, Standings: map[trust.SiteID]roots.Standing{}}
		for _, n := range names[1:] {
			ev.Standings[chains[n].ID()] = roots.Stand(chains[n])
			ev.Local[chains[n].ID()] = members.Local{Blocked: random.IntN(5) == 0}
		}
		for range random.IntN(8) {
			ev.Endorsed = append(ev.Endorsed, members.Spoken{By: chains[names[random.IntN(7)]].ID(), About: chains[names[random.IntN(7)]].ID(), At: noon})
		}
		got := members.Roster(ev, noon)
		in := counted(ev, genesis)
		for id, m := range got {
			if m.Admitted != in[id] {
				t.Fatalf("ExpelIsFinal (15), SybilNeutral (11): seed %d: %s is admitted: %t (%s), by the rule: %t\n%+v", seed, byID[id], m.Admitted, m.Why, in[id], ev.Endorsed)
			}
		}
	}
}

// counted says who is in, in the plainest words. It shares nothing with members.Roster.
func counted(ev members.Evidence, g members.Genesis) map[trust.SiteID]bool {
	in := map[trust.SiteID]bool{ev.Self: true}
	for _, f := range g.Founders {
		if f != ev.Self && !ev.Local[f].Blocked {
			in[f] = true
		}
	}
	for range ev.Standings {
		for id := range ev.Standings {
			by := map[trust.SiteID]bool{}
			for _, w := range ev.Endorsed {
				if w.About == id && w.By != id && w.By != ev.Self && in[w.By] {
					by[w.By] = true
				}
			}
			if !ev.Local[id].Blocked && len(by) >= 1 && len(by) >= min(2, len(in)) {
				in[id] = true
			}
		}
	}
	return in
}
