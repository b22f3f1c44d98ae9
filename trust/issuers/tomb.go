package issuers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Tombstone takes belief from a key, or from all keys of an issuer, whoever shows them, until
// a time (trust-protocol.md, sections 6 to 8). It counts from two mouths only: this site's own
// operator, whose word needs nobody; and the issuer's bound home.
type Tombstone struct {
	Issuer     string    `json:"iss"`
	Thumbprint string    `json:"key"` // or EveryKey
	Reason     string    `json:"reason"`
	At         time.Time `json:"at"`
	Until      time.Time `json:"until"`
}

// EveryKey in a Tombstone is every key of the issuer: an intended "revoke everything".
const EveryKey = "*"

// buries tells whether the tombstone takes belief from a key at a time.
func (t Tombstone) buries(issuer, print string, now time.Time) bool {
	return t.Issuer == issuer && (t.Thumbprint == EveryKey || t.Thumbprint == print) && now.Before(t.Until)
}

// tombRecord is a Tombstone as it is signed.
type tombRecord struct {
	Net    string `json:"net"`
	Issuer string `json:"iss"`
	Key    string `json:"key"`
	Reason string `json:"reason"`
	At     int64  `json:"at"`
	Until  int64  `json:"until"`
}

// ownTomb is one of this site's own, with the envelope in which its peers get it, if it is
// theirs to hear, and the peers that have it.
type ownTomb struct {
	Tombstone
	Envelope string                       `json:"envelope,omitempty"`
	Acked    map[trust.SiteName]time.Time `json:"acked,omitempty"`
}

func (t Tombstone) same(issuer, print string) bool {
	return t.Issuer == issuer && t.Thumbprint == print
}

// openTomb verifies one tombstone by the site that key belongs to. Whether that site may say so is
// for Believe.
func openTomb(envelope []byte, p pin, keyOf keyOf) (Tombstone, error) {
	var t tombRecord
	body, _, err := jose.Open(envelope, typTomb, MaxRecordBytes, keyOf)
	if err != nil {
		return Tombstone{}, refuse("tombstone by %s: %w", p.site, err)
	}
	if err := jose.Unmarshal(body, &t); err != nil {
		return Tombstone{}, refuse("tombstone by %s: %w", p.site, err)
	}
	switch {
	case t.Net != p.net():
		return Tombstone{}, refuse("tombstone by %s is for another network or another site", p.site)
	case t.Issuer == "" || len(t.Issuer) > maxURLBytes || len(t.Reason) > maxReason:
		return Tombstone{}, refuse("tombstone by %s names no issuer, or says more than %d bytes", p.site, maxReason)
	case t.At < 1 || t.Until <= t.At || t.Until > maxUnix || t.Until-t.At > int64(MaxTombLife/time.Second):
		return Tombstone{}, refuse("tombstone by %s has impossible times", p.site)
	}
	if _, err := trust.ParseDigest(t.Key); err != nil && t.Key != EveryKey {
		return Tombstone{}, refuse("tombstone by %s names no key", p.site)
	}
	return Tombstone{t.Issuer, t.Key, t.Reason, time.Unix(t.At, 0).UTC(), time.Unix(t.Until, 0).UTC()}, nil
}

// vanished gives an unexpired tombstone of those that were told before which the newer bundle lacks: an
// author that drops one takes back what peers must be able to rely on, so its newer word is not taken.
func vanished(told []relic, newer *bundle, now time.Time) (Tombstone, bool) {
	for _, r := range told {
		t := r.Tombstone
		if now.Before(t.Until) && !slices.Contains(newer.tombs, t) {
			return t, true
		}
	}
	return Tombstone{}, false
}

// Distrust takes belief from one key of an issuer, or from all (EveryKey), at once and whatever
// anybody shows, until a time at most MaxTombLife away. It needs nobody. Where this site is the issuer's bound home, its peers
// are told, too, and asked to acknowledge. It wraps ErrNotConfigured.
func (d *Desk) Distrust(ctx context.Context, t Tombstone) error {
	err := d.step(ctx, func(next *draft) error {
		t.At = next.now.UTC().Truncate(time.Second)
		t.Until = t.Until.UTC().Truncate(time.Second)
		switch {
		case next.policies[t.Issuer].Issuer == "":
			return fmt.Errorf("%.200q: %w", t.Issuer, ErrNotConfigured)
		case !t.Until.After(t.At) || t.Until.Sub(t.At) > MaxTombLife:
			return fmt.Errorf("%w: it must end later than now, and within %d days", ErrTombstone, int(MaxTombLife.Hours()/24))
		case len(t.Reason) > maxReason:
			return fmt.Errorf("%w: its reason has more than %d bytes", ErrTombstone, maxReason)
		case len(next.tombs) >= maxTombs:
			return fmt.Errorf("%w: there are %d already", ErrTombstone, maxTombs)
		}
		if _, err := trust.ParseDigest(t.Thumbprint); err != nil && t.Thumbprint != EveryKey {
			return fmt.Errorf("%w: name a key by its thumbprint, as 'issuers explain' prints it, or none for all", ErrTombstone)
		}
		own := ownTomb{Tombstone: t, Acked: map[trust.SiteName]time.Time{}}
		if slices.Contains(next.homeOf, t.Issuer) {
			sealed, err := d.sealTomb(t)
			if err != nil {
				return err
			}
			own.Envelope = sealed
		}
		// The newer word about the same key takes the older one's place, unless peers rely on that.
		tombs := slices.DeleteFunc(slices.Clone(next.tombs), func(o ownTomb) bool { return o.Envelope == "" && o.same(t.Issuer, t.Thumbprint) })
		next.keepTombs(append(tombs, own))
		next.record(outcomeDistrusted, "", fmt.Sprintf("issuer %.300q key %s until %s: %.200s", t.Issuer, t.Thumbprint, t.Until.Format(time.RFC3339), t.Reason))
		return nil
	}, true)
	if err == nil {
		d.kick()
	}
	return err
}

// recall takes back what this site itself told its peers and has forgotten since, restored from an old backup:
// they rely on it, and take no head of this site's that lacks it.
func (d *Desk) recall(ctx context.Context, told []relic) error {
	err := d.commit(ctx, func(next *draft) error {
		tombs := slices.Clone(next.tombs)
		for _, t := range told {
			if !next.now.Before(t.Until) || slices.ContainsFunc(tombs, func(o ownTomb) bool { return o.Envelope != "" && o.Tombstone == t.Tombstone }) {
				continue
			}
			tombs = append(tombs, ownTomb{t.Tombstone, t.envelope, map[trust.SiteName]time.Time{}})
			next.record(outcomeDistrusted, "", fmt.Sprintf("issuer %.300q key %s until %s, as peers hold it of this site", t.Issuer, t.Thumbprint, t.Until.Format(time.RFC3339)))
		}
		if len(tombs) == len(next.tombs) {
			return errNothing
		}
		next.keepTombs(tombs)
		return nil
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	if err == nil {
		d.kick()
	}
	return err
}

// resealTombs signs again what peers were told under another node key, or in another network: no head over
// the old envelopes would be taken. They have not been acknowledged as they are now.
func (d *Desk) resealTombs(next *draft) error {
	p := pin{d.network, d.site, d.node}
	tombs, changed := slices.Clone(next.tombs), false
	for i, t := range tombs {
		if t.Envelope == "" {
			continue
		}
		sealed, err := d.sealTomb(t.Tombstone)
		if err != nil {
			return fmt.Errorf("issuers: signing a tombstone of %s again: %w", p.site, err)
		}
		if sealed != t.Envelope { // Ed25519 gives one signature for one text and key
			tombs[i].Envelope, tombs[i].Acked, changed = sealed, map[trust.SiteName]time.Time{}, true
		}
	}
	if changed {
		next.keepTombs(tombs)
	}
	return nil
}

func (d *Desk) sealTomb(t Tombstone) (string, error) {
	sealed, err := jose.Seal(typTomb, d.key, tombRecord{pin{d.network, d.site, d.node}.net(), t.Issuer, t.Thumbprint, t.Reason, t.At.Unix(), t.Until.Unix()})
	return string(sealed), err
}

// BeHome says of which issuers this site is the home, by its own root-signed record: peers hear its
// tombstones about those, and about no others.
func (d *Desk) BeHome(issuers []string) error {
	if slices.Equal(issuers, d.state.Load().homeOf) {
		return nil
	}
	return d.step(context.Background(), func(next *draft) error { next.homeOf = slices.Clone(issuers); return nil }, false)
}

// Undistrust takes this operator's own word back. What peers were told stays until it ends: they may
// rely on it. It wraps ErrTombstone.
func (d *Desk) Undistrust(ctx context.Context, issuer, print string) error {
	return d.step(ctx, func(next *draft) error {
		left := slices.DeleteFunc(slices.Clone(next.tombs), func(o ownTomb) bool { return o.Envelope == "" && o.same(issuer, print) })
		if len(left) == len(next.tombs) {
			return fmt.Errorf("%w: none of this site's own that peers were not told of; theirs end by themselves", ErrTombstone)
		}
		next.keepTombs(left)
		next.record(outcomeTrusted, "", fmt.Sprintf("issuer %.300q key %s: the operator's distrust is taken back", issuer, print))
		return nil
	}, true)
}

// ErrTombstone is wrapped by what is wrong with a tombstone that the operator asked for.
var ErrTombstone = errors.New("no such distrust")

func (d *draft) keepTombs(tombs []ownTomb) {
	d.tombs = tombs
	d.save[keyTombs] = encode(tombs)
}

// bury drops what has ended, so that neither the file nor the head grows for ever.
func (d *draft) bury() {
	if slices.ContainsFunc(d.tombs, func(t ownTomb) bool { return !d.now.Before(t.Until) }) {
		d.keepTombs(slices.DeleteFunc(slices.Clone(d.tombs), func(t ownTomb) bool { return !d.now.Before(t.Until) }))
	}
}

// Acknowledgement tells who has a tombstone of this site's, and who has not said so yet.
type Acknowledgement struct {
	Tombstone
	Told    bool             `json:"told"` // peers are told of it: this site is the issuer's home
	Acked   []trust.SiteName `json:"acknowledged"`
	Missing []trust.SiteName `json:"not_acknowledged"`
}

// Acknowledgements gives this site's own tombstones, the newest last.
func (d *Desk) Acknowledgements() []Acknowledgement {
	s := d.state.Load()
	list := []Acknowledgement{}
	for _, t := range s.tombs {
		a := Acknowledgement{Tombstone: t.Tombstone, Told: t.Envelope != "", Acked: []trust.SiteName{}, Missing: []trust.SiteName{}}
		for _, site := range slices.Sorted(maps.Keys(s.peers)) {
			if _, ok := t.Acked[site]; ok {
				a.Acked = append(a.Acked, site)
			} else if a.Told {
				a.Missing = append(a.Missing, site)
			}
		}
		list = append(list, a)
	}
	return list
}

// unacked gives the connected peers that have not acknowledged all that this site buried.
func (s *state) unacked(connected []trust.NodeID) []trust.NodeID {
	return slices.DeleteFunc(slices.Clone(connected), func(node trust.NodeID) bool {
		site, ok := s.sites[node]
		return !ok || !slices.ContainsFunc(s.tombs, func(t ownTomb) bool { _, acked := t.Acked[site]; return t.Envelope != "" && !acked })
	})
}

// warn brings this site's newest word to a peer on a stream, and keeps that it was taken: the
// emergency of section 8. Whoever is not there now is told when it comes.
func (d *Desk) warn(ctx context.Context, node trust.NodeID) error {
	s := d.state.Load()
	own, site := s.own.bundle, s.sites[node]
	if own == nil {
		return errNothing
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	reply, err := d.mesh.Call(ctx, node, encode(syncRequest{Bundles: []wireBundle{own.records}}))
	if err != nil {
		return err
	}
	answer, err := decodeAnswer(reply)
	if err != nil {
		return err
	}
	if answer.Took != own.head.hash {
		return refuse("%s did not acknowledge this site's newest head", site)
	}
	return d.step(ctx, func(next *draft) error {
		if next.sites[node] != site {
			return errNothing
		}
		tombs := slices.Clone(next.tombs)
		for i, t := range tombs {
			if t.Envelope != "" && slices.Contains(own.records.Records, t.Envelope) {
				tombs[i].Acked = maps.Clone(t.Acked)
				if tombs[i].Acked == nil {
					tombs[i].Acked = map[trust.SiteName]time.Time{}
				}
				tombs[i].Acked[site] = next.now.UTC().Truncate(time.Second)
			}
		}
		next.keepTombs(tombs)
		return nil
	}, false)
}
