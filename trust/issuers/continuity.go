package issuers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
)

// accepted is the key set of an issuer that was believed last, and what is held back because
// it does not continue it (trust-protocol.md, section 7).
type accepted struct {
	Prints []string `json:"keys"`
	Host   string   `json:"host,omitempty"` // of the jwks_uri
	// Held is the set that waits, since when, and Confirmed the one that the operator said
	// is the issuer's.
	Held      []string `json:"held,omitempty"`
	HeldHost  string   `json:"held_host,omitempty"`
	Since     int64    `json:"since,omitempty"`
	Confirmed []string `json:"confirmed,omitempty"`
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// continues takes belief from keys that do not continue the set that was believed before: of a
// set that shares no key with it, or that comes from another host. Whoever takes an issuer over
// replaces everything at once, and its owner does not. They wait until the bound home names them, the operator does,
// or most witnesses have seen them for holdTime.
func (d *draft) continues(issuer string, b Belief) Belief {
	p := d.policies[issuer]
	var now []string
	for _, k := range b.Keys {
		if k.Believed && !slices.Contains(now, k.Thumbprint) {
			now = append(now, k.Thumbprint)
		}
	}
	slices.Sort(now)
	if len(now) == 0 || p.Mode == trust.ModeManual || p.NoContinuity {
		return b
	}
	old, host := d.accepted[issuer], hostOf(d.jwksURI(b))
	disjoint := !slices.ContainsFunc(now, func(print string) bool { return slices.Contains(old.Prints, print) })
	moved := old.Host != "" && host != "" && old.Host != host
	if len(old.Prints) == 0 || !disjoint && !moved || d.confirmed(p, old, now, host) {
		d.accept(issuer, old, accepted{Prints: now, Host: host})
		return b
	}
	next := old
	if !slices.Equal(old.Held, now) || old.HeldHost != host {
		next.Held, next.HeldHost, next.Since = now, host, d.evaluation(d.now).Unix()
	}
	d.accept(issuer, old, next)
	why := "held back: the issuer shows none of the keys that were believed before"
	if !disjoint {
		why = fmt.Sprintf("held back: the issuer's key set moved from %.80q to %.80q", old.Host, host)
	}
	b.Held = true
	b.Keys = slices.Clone(b.Keys)
	for i, k := range b.Keys {
		if k.Believed && !slices.Contains(old.Prints, k.Thumbprint) {
			b.Keys[i].Believed, b.Keys[i].Until = false, time.Time{}
			b.Keys[i].Why = why + "; ask the issuer, and confirm with 'candignode issuers approve --keys', or wait until most witnesses have seen them for a day"
		}
	}
	return b
}

// accept keeps what is accepted now, and writes it only when it changed.
func (d *draft) accept(issuer string, old, next accepted) {
	if slices.Equal(old.Prints, next.Prints) && old.Host == next.Host && slices.Equal(old.Held, next.Held) &&
		old.Since == next.Since && slices.Equal(old.Confirmed, next.Confirmed) {
		return
	}
	d.accepted[issuer] = next
	d.save[keyAccepted+issuer] = encode(next)
}

// confirmed tells whether somebody who may has said that a set is the issuer's.
func (d *draft) confirmed(p trust.IssuerPolicy, old accepted, now []string, host string) bool {
	all := func(seen []string) bool {
		return !slices.ContainsFunc(now, func(print string) bool { return !slices.Contains(seen, print) })
	}
	if len(old.Confirmed) > 0 && all(old.Confirmed) {
		return true
	}
	at, stale := d.evaluation(d.now), staleAfter(p)
	see := 0
	for _, w := range d.evidence(d.self.site, p.Issuer).Sites {
		if w.Forked || !fresh(w.Issued, stale, at) {
			continue
		}
		for _, o := range w.Observations {
			if o.Issuer != p.Issuer || !fresh(o.At, stale, at) || !all(o.Thumbprints) {
				continue
			}
			if w.Site == d.home(p.Issuer) {
				return true
			}
			if slices.Contains(p.Witnesses, w.Site) {
				see++
			}
		}
	}
	waited := slices.Equal(old.Held, now) && old.HeldHost == host && at.Sub(time.Unix(old.Since, 0)) >= holdTime
	return waited && len(p.Witnesses) > 0 && see > len(p.Witnesses)/2
}

// ErrNothingHeld is returned when no key set of the issuer waits to be confirmed.
var ErrNothingHeld = errors.New("no key set of this issuer is held back")

// ConfirmKeys takes the operator's word that the set that is held back is the issuer's. It wraps
// ErrNothingHeld.
func (d *Desk) ConfirmKeys(ctx context.Context, issuer string) error {
	return d.step(ctx, func(next *draft) error { return next.confirm(issuer) }, false)
}

func (d *draft) confirm(issuer string) error {
	old, ok := d.accepted[issuer]
	if !ok || len(old.Held) == 0 {
		return fmt.Errorf("%.200q: %w", issuer, ErrNothingHeld)
	}
	next := old
	next.Confirmed = old.Held
	d.accept(issuer, old, next)
	d.record(outcomeConfirmed, "", fmt.Sprintf("issuer %.300q: the operator confirms keys %s", issuer, strings.Join(old.Held, " ")))
	return nil
}
