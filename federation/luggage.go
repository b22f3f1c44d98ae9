package federation

import (
	"slices"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Disclosure is what the operator lets a peer know of his researchers.
type Disclosure string

// The disclosures. The zero value is DiscloseWhole.
const (
	// DiscloseWhole: what the peer says it needs; everything that may travel, if it
	// says nothing, as versions before this one do.
	DiscloseWhole Disclosure = "whole"
	// DiscloseAnnounced: what the peer says it needs, and nothing if it says nothing.
	DiscloseAnnounced Disclosure = "announced"
	// DiscloseNothing: the peer is asked what anybody may ask, and nothing else.
	DiscloseNothing Disclosure = "nothing"
)

// pack is what travels to a target beside its own assertion.
type pack struct {
	draft assertion
	tail  []byte
}

// load decides for each target what it is told of the caller (trust-protocol.md,
// section 11, invariant 20), and takes those out that must not be asked at all. It is done before anything
// is recorded or signed: what is not packed cannot leave.
func (r *round) load() error {
	targets := r.targets[:0]
	for _, t := range r.targets {
		refused, err := r.loadOne(&t)
		if err != nil {
			return err
		}
		if refused {
			r.lost = append(r.lost, failed(t.peer.Site, t.peer.Node, query.Refused, codeNoPassport))
			continue
		}
		targets = append(targets, t)
	}
	r.targets = targets
	return nil
}

// loadOne packs for one target; refused tells that there is nothing that it may be told
// and would take, and that it needs to be told something.
func (r *round) loadOne(t *target) (refused bool, err error) {
	t.pack = &r.whole
	if r.caller.Anonymous() {
		return false, nil
	}
	if r.o.Needs != nil {
		if needs, told := r.o.Needs(t.peer); told {
			t.needs = needs
		}
	}
	if t.needs != nil && t.needs.Nobody(r.request) {
		t.pack, err = r.anonymous()
		return false, err
	}
	switch {
	case t.peer.Disclose == DiscloseNothing, t.peer.Disclose == DiscloseAnnounced && t.needs == nil:
		return true, nil
	case r.travelsAlone():
		t.alone = true
		return false, nil
	case len(r.caller.Passports) > 0 && r.stays(r.caller.Passports[0]):
		return true, nil
	case t.needs == nil || len(r.caller.Passports) == 0:
		return false, nil
	case !t.needs.Takes(r.caller.Issuer):
		// The first passport says who the caller is. Without it the target would see
		// somebody else.
		return true, nil
	}
	may := r.travelling()
	if kept := t.needs.passports(r.caller, may); len(kept) < len(may) {
		t.pack, err = r.pack(kept)
	}
	return false, err
}

// anonymous is the pack without a caller, made once.
func (r *round) anonymous() (*pack, error) {
	if r.bare == nil {
		bare, err := r.pack(nil)
		if err != nil {
			return nil, err
		}
		bare.draft.Caller = nil
		r.bare = bare
	}
	return r.bare, nil
}

func (r *round) pack(passports []trust.Passport) (*pack, error) {
	size := len(r.question) + 16
	for _, p := range passports {
		size += 4 + len(p.Compact())
	}
	tail, err := appendTail(make([]byte, 0, size), r.question, passports)
	if err != nil {
		return nil, query.Bad("passports", "%v", err)
	}
	p := &pack{draft: r.draft, tail: tail}
	p.draft.Passports = digestsOf(passports)
	return p, nil
}

// passports gives those of the passports that may travel which hold something the site needs. A
// passport travels as it was signed, so it travels whole or not at all; the first
// one says who the caller is, and always does.
func (n *Needs) passports(c trust.Caller, may []trust.Passport) []trust.Passport {
	if len(may) == 1 {
		return may
	}
	needed := map[trust.Digest]bool{}
	for _, v := range n.Choose(c) {
		needed[v.Digest] = true
	}
	kept := []trust.Passport{may[0]}
	for _, p := range may[1:] {
		issuer, visas := inside(p)
		if n.Takes(issuer) && slices.ContainsFunc(visas, func(d trust.Digest) bool { return needed[d] }) {
			kept = append(kept, p)
		}
	}
	return kept
}

// inside tells who signed a passport, which was verified when it was shown, and which
// visas are in it.
func inside(p trust.Passport) (issuer string, visas []trust.Digest) {
	token, err := jose.Parse(p.Compact(), maxPassportBytes)
	if err != nil {
		return "", nil
	}
	var claims struct {
		Issuer jose.Text   `json:"iss"`
		Visas  []jose.Text `json:"ga4gh_passport_v1"`
	}
	if err := token.UnverifiedClaims(&claims); err != nil {
		return "", nil
	}
	for _, visa := range claims.Visas {
		visas = append(visas, trust.DigestOfString(visa.Value))
	}
	return claims.Issuer.Value, visas
}
