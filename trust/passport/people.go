package passport

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
)

// people says which identities are one person's. It is a forest in which every two
// joined identities are joined by the way whose weakest link lasts longest (a
// maximum spanning forest by the end of each link). Chains and cycles of links are
// legal (GA4GH Passport 1.2, "LinkedIdentities"; passports.md, row 45).
type people struct {
	number     map[trust.Identity]int
	pairs      map[[2]trust.Identity]int // to the one link between two
	identities []trust.Identity
	links      []trust.Link
	branches   [][]branch // by number
	persons    []int      // the least identity of each one's tree, by number
}

// branch is a link of the forest, seen from one end.
type branch struct {
	to   int
	link int
}

// route is how one identity is reached from another.
type route struct {
	reached bool
	until   time.Time // the end of the weakest link; zero if no link is needed
	from    int
	link    int
}

// add takes one more link that is believed, and tells whether there was room. One
// that links an identity with itself says nothing, and of several between the same two
// the best one counts: each sign-in may bring another.
func (p *people) add(link trust.Link) bool {
	pair := [2]trust.Identity{link.A, link.B}
	if compareIdentities(link.B, link.A) < 0 {
		pair = [2]trust.Identity{link.B, link.A}
	}
	switch at, known := p.pairs[pair]; {
	case link.A == link.B:
		return true
	case known:
		if compareLinks(&link, &p.links[at]) < 0 {
			p.links[at] = link
		}
		return true
	case len(p.links) >= maxLinks:
		return false
	case p.pairs == nil:
		p.pairs = make(map[[2]trust.Identity]int)
	}
	p.pairs[pair] = len(p.links)
	p.links = append(p.links, link)
	for _, id := range []trust.Identity{link.A, link.B} {
		if _, known := p.number[id]; known {
			continue
		}
		if p.number == nil {
			p.number = make(map[trust.Identity]int)
		}
		p.number[id] = len(p.identities)
		p.identities = append(p.identities, id)
	}
	return true
}

// compareLinks puts the link that lasts longest first.
func compareLinks(a, b *trust.Link) int {
	return cmp.Or(b.Until.Compare(a.Until), bytes.Compare(a.Visa[:], b.Visa[:]), compareIdentities(a.A, b.A), compareIdentities(a.B, b.B))
}

// join makes the forest once all links are in: the longest-lasting first, and
// none between two that are joined already.
func (p *people) join() {
	order := make([]int, len(p.links))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return compareLinks(&p.links[i], &p.links[j]) })
	head := make([]int, len(p.identities)) // union-find
	for i := range head {
		head[i] = i
	}
	find := func(n int) int {
		for head[n] != n {
			head[n] = head[head[n]]
			n = head[n]
		}
		return n
	}
	p.branches = make([][]branch, len(p.identities))
	for _, i := range order {
		a, b := p.number[p.links[i].A], p.number[p.links[i].B]
		x, y := find(a), find(b)
		if x == y {
			continue
		}
		if compareIdentities(p.identities[y], p.identities[x]) < 0 {
			x, y = y, x
		}
		head[y] = x // the least is the head, and so the person
		p.branches[a] = append(p.branches[a], branch{b, i})
		p.branches[b] = append(p.branches[b], branch{a, i})
	}
	p.persons = make([]int, len(p.identities))
	for i := range p.persons {
		p.persons[i] = find(i)
	}
}

// person gives the identity that stands for all of a person's.
func (p *people) person(id trust.Identity) trust.Identity {
	if n, known := p.number[id]; known {
		return p.identities[p.persons[n]]
	}
	return id
}

// ways gives the way to every identity, by number, from one; nil from an identity
// that nothing links.
func (p *people) ways(from trust.Identity) []route {
	start, known := p.number[from]
	if !known {
		return nil
	}
	ways := make([]route, len(p.identities))
	ways[start] = route{reached: true, from: -1}
	for todo := []int{start}; len(todo) > 0; {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, b := range p.branches[at] {
			if !ways[b.to].reached {
				ways[b.to] = route{true, sooner(ways[at].until, p.links[b.link].Until), at, b.link}
				todo = append(todo, b.to)
			}
		}
	}
	return ways
}

// to looks up one identity among ways from another.
func (p *people) to(ways []route, id trust.Identity) (w route, number int) {
	if n, known := p.number[id]; known && n < len(ways) {
		return ways[n], n
	}
	return route{}, -1
}

// visas names the visas of the links along the way to an identity.
func (p *people) visas(ways []route, number int) []trust.Digest {
	var along []trust.Digest
	for n := number; n >= 0 && ways[n].reached && ways[n].from >= 0; n = ways[n].from {
		along = appendNew(along, p.links[ways[n].link].Visa)
	}
	return along
}

func appendNew(digests []trust.Digest, more ...trust.Digest) []trust.Digest {
	for _, d := range more {
		if !slices.Contains(digests, d) {
			digests = append(digests, d)
		}
	}
	return digests
}

func compareIdentities(a, b trust.Identity) int {
	return cmp.Or(strings.Compare(a.Issuer, b.Issuer), strings.Compare(a.Subject, b.Subject))
}

// sooner is earliest for times of which the zero one is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
