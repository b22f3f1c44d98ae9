package issuers

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// ownHistory is this site as an author.
type ownHistory struct {
	bundle *bundle // the newest that was written; nil before the first
	// raise and beyond are what the next head must reach, after peers showed that
	// this node has forgotten heads it signed.
	raise, beyond int64
	raised        int64    // the epoch reached so since the start; an alarm
	tooLarge      []string // issuers of which peers are told nothing, or not all
}

// leaveOut notes once that an issuer's record was left out.
func (o *ownHistory) leaveOut(issuer string) {
	if !slices.Contains(o.tooLarge, issuer) {
		o.tooLarge = append(o.tooLarge, issuer)
	}
}

// errNothing ends a step that would change nothing.
var errNothing = errors.New("nothing to change")

// publish signs a head over this site's records as they are now, writes it, and
// only then sends it. Without force it does nothing when the newest head already
// stands for the same. It tells whether a head was signed.
func (d *Desk) publish(ctx context.Context, force bool) (bool, error) {
	var head []byte
	err := d.commit(ctx, func(next *draft) error {
		sealed, err := d.nextOwn(next, force)
		if err != nil {
			return err
		}
		head = []byte(sealed.Head)
		return nil
	})
	if errors.Is(err, errNothing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d.stats.ownHeads.Add(1)
	d.mesh.Broadcast(head)
	return true, nil
}

// nextOwn makes the next own bundle in the draft.
func (d *Desk) nextOwn(next *draft, force bool) (wireBundle, error) {
	own, old, tooLarge := &next.own, next.own.bundle, next.own.tooLarge
	p := pin{d.network, d.site, d.node}
	h := Head{Net: p.net(), Epoch: 1, Version: 1}
	// The version never starts over, not even in a new epoch: nothing then depends on
	// whether a peer has seen the epoch before.
	if old != nil {
		h.Epoch, h.Update, h.Version, h.Prev = old.head.Epoch, old.head.Update, old.head.Version+1, old.head.hash
	}
	raising := own.raise > h.Epoch
	// A new epoch names no head before it: which of two pasts is the right one is what
	// this node does not know.
	if raising {
		h.Epoch, h.Update, h.Prev = own.raise, 0, trust.Digest{}
		h.Version = max(h.Version, own.beyond+1)
	}
	ids := announcedIDs(next.policies)
	sameSite := old != nil && !raising && maps.EqualFunc(old.site.ClientIDs, ids, slices.Equal) &&
		next.now.Before(time.Unix(old.site.Issued, 0).Add(siteLife/2)) && !ahead(time.Unix(old.site.Issued, 0), next.now)
	// The site record is signed anew only when it must be: the fewer records change,
	// the fewer peers verify again.
	wire := wireBundle{Of: d.node}
	if sameSite {
		wire.Site = old.records.Site
	} else {
		if old != nil && !raising {
			h.Update++
		}
		sealed, err := sealSite(p, d.key, ids, h.Epoch, h.Update, next.now)
		if err != nil {
			return wire, err
		}
		wire.Site = string(sealed)
	}
	same, err := d.ownObservations(next, &wire, force || !sameSite)
	if err != nil {
		return wire, err
	}
	sameWords, err := d.ownWords(next, &wire)
	if err != nil {
		return wire, err
	}
	same = same && sameWords
	tombs := 0
	for _, t := range next.tombs {
		if t.Envelope != "" && next.now.Before(t.Until) && len(wire.Records) < MaxRecords {
			wire.Records = append(wire.Records, t.Envelope)
			tombs++
			same = same && old != nil && slices.Contains(old.records.Records, t.Envelope)
		}
	}
	same = same && old != nil && len(old.tombs) == tombs
	if same && sameSite && !force && slices.Equal(own.tooLarge, tooLarge) {
		return wire, errNothing
	}
	hashes := []trust.Digest{trust.DigestOf([]byte(wire.Site))}
	for _, r := range wire.Records {
		hashes = append(hashes, trust.DigestOf([]byte(r)))
	}
	h.Root, h.Count = rootOf(hashes), len(hashes)
	h.Issued, h.Expires = next.now.Unix(), next.now.Add(maxLife).Unix()
	sealed, err := jose.Seal(typHead, d.key, h)
	if err != nil {
		return wire, err
	}
	wire.Head = string(sealed)
	// Nothing is sent that this node would not take itself.
	b, _, err := wire.verify(p, nil)
	if err != nil {
		return wire, err
	}
	// The alarm stands until a restart: by then somebody has looked.
	if raising {
		own.raised = h.Epoch
	}
	own.bundle, own.raise, own.beyond = b, 0, 0
	next.saveOwn()
	return wire, nil
}

// saveOwn is written before anything is sent. What must be reached after a recovery is in
// it too: a node that crashed in between would otherwise sign the old epoch again.
func (d *draft) saveOwn() {
	stored := storedOwn{Node: d.self.node, Net: d.self.net(), Raise: d.own.raise, Beyond: d.own.beyond}
	if d.own.bundle != nil {
		stored.Bundle = &d.own.bundle.records
	}
	d.save[keyOwn] = encode(stored)
}

// ownObservations fills in one record for each issuer that this node fetched
// lately, and tells whether they say the same as the newest head's. Records that
// need no new time are kept byte for byte, so that peers need not verify them
// again.
func (d *Desk) ownObservations(next *draft, wire *wireBundle, renew bool) (same bool, err error) {
	kept := map[string]int{}
	var before []Observation
	if next.own.bundle != nil {
		before = next.own.bundle.observations
		for i, o := range before {
			kept[o.Issuer] = i
		}
	}
	next.own.tooLarge = nil
	same = true
	// Tombstones come after the observations, and none may be left out for them.
	room, weight := MaxRecords-min(len(next.homeOf), MaxRecords/2), 0
	for _, t := range next.tombs {
		if t.Envelope != "" && next.now.Before(t.Until) {
			room--
		}
	}
	for _, issuer := range slices.Sorted(maps.Keys(next.policies)) {
		o, body, ok := observe(next, issuer)
		if !ok {
			continue
		}
		if len(wire.Records) >= room {
			next.own.leaveOut(issuer)
			continue
		}
		// Peers hold so much of one site, and no more.
		if body != nil && weight+len(body) <= maxAuthorBlobs {
			weight += len(body)
			next.keep(o.KeySet, body)
		} else {
			o.KeySet = trust.Digest{}
		}
		i, had := kept[issuer]
		unchanged := had && sameObservation(before[i], o) && o.At.Sub(before[i].At) < renewAfter
		if unchanged && (!renew || !o.At.After(before[i].At)) && !ahead(before[i].At, next.now) {
			wire.Records = append(wire.Records, next.own.bundle.records.Records[i])
			continue
		}
		sealed, err := jose.Seal(typObs, d.key, obsRecord{pin{d.network, d.site, d.node}.net(), o.Issuer, o.JWKSURI, o.Metadata, o.Thumbprints, o.At.Unix(), o.KeySet, o.HomeSite})
		if err != nil {
			return false, err
		}
		// Checked as peers check it: one record that they refuse would make them refuse all.
		if len(sealed) > MaxRecordBytes || len(o.Issuer) > maxURLBytes || len(o.JWKSURI) > maxURLBytes {
			next.own.leaveOut(issuer)
			continue
		}
		same = same && unchanged
		wire.Records = append(wire.Records, string(sealed))
	}
	return same && len(wire.Records) == len(before), nil
}

// observe gives what this node may say it saw of an issuer, with the key set that this names, and false if it has
// fetched nothing that is still fresh.
func observe(next *draft, issuer string) (o Observation, body []byte, ok bool) {
	p, f := next.policies[issuer], next.fetches[issuer]
	if !fetches(p) || len(f.Keys) == 0 || !fresh(f.at, staleAfter(p), next.evaluation(next.now)) {
		return Observation{}, nil, false
	}
	o = Observation{Issuer: issuer, JWKSURI: f.JWKSURI, Metadata: f.Metadata, At: f.at, HomeSite: f.HomeSite}
	for _, k := range f.Keys {
		o.Thumbprints = append(o.Thumbprints, k.Thumbprint)
	}
	o.Thumbprints = slices.Compact(o.Thumbprints) // sorted; one key may have two kids
	// Keys that do not fit a blob are still witnessed, by their thumbprints.
	body, err := keySetOf(f.Keys)
	if err != nil {
		return o, nil, true
	}
	o.KeySet = trust.DigestOf(body)
	return o, body, true
}

// ahead tells whether something was signed while this node's clock was too far ahead.
// Peers refuse such a record, so it is signed again, and not kept until its time has come.
func ahead(signed, now time.Time) bool { return signed.After(now.Add(skew)) }

// sameObservation leaves the time out: that the same was seen again is news for nobody
// until the old sighting grows stale.
func sameObservation(a, b Observation) bool {
	return a.JWKSURI == b.JWKSURI && a.Metadata == b.Metadata && slices.Equal(a.Thumbprints, b.Thumbprints) &&
		a.KeySet == b.KeySet && a.HomeSite == b.HomeSite
}

// announcedIDs gives this site's own client ids, as its site record says them.
func announcedIDs(policies map[string]trust.IssuerPolicy) map[string][]string {
	ids := map[string][]string{}
	for issuer, p := range policies {
		if len(p.ClientIDs) > 0 {
			ids[issuer] = slices.Compact(slices.Sorted(slices.Values(p.ClientIDs)))
		}
	}
	return ids
}

// sealSite signs the site record. Its life is a month and not a year: it is signed by the
// node's key, which lies on the machine, and renewed at half of it without anybody's help.
func sealSite(p pin, key ed25519.PrivateKey, ids map[string][]string, epoch, update int64, now time.Time) ([]byte, error) {
	public, _ := key.Public().(ed25519.PublicKey)
	return jose.Seal(typSite, key, siteRecord{
		Net: p.net(), Site: p.site, Node: p.node, Key: base64.RawURLEncoding.EncodeToString(public),
		ClientIDs: ids, Epoch: epoch, Update: update,
		Issued: now.Unix(), Expires: now.Add(siteLife).Unix(),
	})
}

// recover answers a head that this node's key signed and this node does not know:
// it was restored from an old backup, or a second node runs with its key. It
// raises the epoch beyond, so that what it says from now on supersedes both.
// forked tells that the head is half of a proof: the peer listens to nothing more in
// that epoch, whatever this node remembers.
func (d *Desk) recover(ctx context.Context, h signedHead, forked bool) error {
	err := d.commit(ctx, func(next *draft) error {
		own := &next.own
		if b := own.bundle; b != nil {
			known := h.hash == b.head.hash || h.compare(b.head.Head) < 0 && !conflict(h, b.head)
			if forked && h.Epoch < b.head.Epoch || !forked && known {
				return errNothing
			}
		}
		if own.raise > h.Epoch {
			return errNothing
		}
		own.raise, own.beyond = h.Epoch+1, max(own.beyond, h.Version)
		// Wrapping around, or staying silently, would leave this site unheard for ever.
		if !counter(own.raise) {
			own.raise = h.Epoch
			return refuse("this site's own epoch %d cannot be raised any more: give the node a new key", h.Epoch)
		}
		next.saveOwn()
		next.record(outcomeRestored, "", "a peer holds a head of this site that it has no memory of; its epoch is raised")
		return nil
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	if err == nil {
		d.log.Warn("peers hold a head of this site that it does not know; raising its epoch", "epoch", h.Epoch+1)
		d.kick()
	}
	return err
}
