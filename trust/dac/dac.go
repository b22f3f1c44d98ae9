// Package dac is the data access committee's desk: it turns this site's grants into
// visas (GA4GH Passport 1.2, ControlledAccessGrants) and speaks as a source of claims
// (OpenID Connect Core 1.0, section 5.6.2).
//
// The invariant: no visa leaves that is not tied to a grant that was live when it was
// signed, and that is not on record (passports.md, rows 115 and 116). A visa cannot be
// taken back, so it ends with the grant and after VisaTTL at the latest; a grant that is
// gone gives no visa from then on, remembered or new.
package dac

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/mint"
)

// ErrOptions is wrapped by what New returns for options that cannot work.
var ErrOptions = errors.New("the committee's desk cannot work like that")

// ErrNotRecorded is wrapped by what is returned when the record of a visa could not be
// written. No visa leaves then.
var ErrNotRecorded = errors.New("the visa could not be recorded, so it was not given")

// ErrNobody is returned for the zero Identity: nobody has grants.
var ErrNobody = errors.New("visas are for people who showed who they are")

// Recorder makes records durable before it returns.
type Recorder interface {
	Record(ctx context.Context, records ...audit.Record) error
}

// Options is what a Desk works with.
type Options struct {
	// Issuer is this node's external URL: the iss of its visas, exactly.
	Issuer string
	// Source is the body that decides, as visas name it: an https URL that stays the
	// same.
	Source string
	// Key signs visas, links and claims, and nothing else. Others are the public keys
	// that sign other things here, by the names that an operator knows them by.
	Key    crypto.Signer
	Others map[string]crypto.PublicKey
	// JKU is where the key set with Key stands.
	JKU string
	// VisaTTL is how long a visa lasts at most; 0: an hour. At most a day.
	VisaTTL time.Duration
	// Keep is for how long the same grant gives the same visa; 0: five minutes, or half
	// of VisaTTL if that is less. At most half of VisaTTL.
	Keep time.Duration
	// ClaimName is a claim that carries the visas besides ga4gh_passport_v1, for
	// brokers that merge several committees (passports.md, row 89); "": none.
	ClaimName string

	// Subject names a person in visas; mint.Subjects.Of.
	Subject func(trust.Identity) string
	// Grants are the grants of exactly this identity. nil: the desk signs links only.
	Grants func(trust.Identity) []access.Grant
	// Linked are the further identities of the same person, by links that hold now; a
	// visa for a grant of one ends with its link. nil: there are none.
	Linked func(trust.Identity) []trust.LinkedIdentity
	// Datasets are those that the committee decides about. Value is the value of the
	// visa; a public or registered dataset has no such visas.
	Datasets func() []access.Dataset
	// Revoked is what the operator took back; nil: nothing.
	Revoked  func() *trust.Revocations
	Recorder Recorder
	Now      func() time.Time
	Log      *slog.Logger
}

// Desk signs visas. It is safe for concurrent use and starts no goroutine.
type Desk struct {
	o        Options
	signer   *mint.Signer
	warnings []string

	mu     sync.Mutex
	memory memory
}

// New makes a Desk. Its errors wrap ErrOptions, mint.ErrKey, mint.ErrKeyReused or
// mint.ErrLint.
func New(o Options) (*Desk, error) {
	if err := complete(&o); err != nil {
		return nil, err
	}
	warning, err := mint.LintSource(o.Source)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	signer, err := mint.NewSigner(o.Key, o.Others)
	if err != nil {
		return nil, fmt.Errorf("the committee's key: %w", err)
	}
	d := &Desk{o: o, signer: signer, memory: memory{}}
	if warning != "" {
		d.warnings = append(d.warnings, warning)
		o.Log.Warn(warning, "source", o.Source)
	}
	return d, nil
}

// reserved are claims that visas must not replace (RFC 7519, section 4.1; OpenID
// Connect Core 1.0, section 5.6.2).
var reserved = []string{"iss", "sub", "aud", "iat", "nbf", "exp", "jti", "cnf", "act", "_claim_names", "_claim_sources"}

// complete fills in the defaults.
func complete(o *Options) error {
	switch {
	case o.Issuer == "" || o.JKU == "":
		return fmt.Errorf("%w: it needs the node's external URL, and where its key set is", ErrOptions)
	case o.Subject == nil || o.Recorder == nil || o.Now == nil:
		return fmt.Errorf("%w: it needs names, a recorder and a clock", ErrOptions)
	case slices.Contains(reserved, o.ClaimName):
		return fmt.Errorf("%w: %q has another meaning in a token: choose another claim name", ErrOptions, o.ClaimName)
	case o.VisaTTL < 0 || o.VisaTTL > maxVisaTTL:
		return fmt.Errorf("%w: visas last at most %s, for nobody can take one back", ErrOptions, maxVisaTTL)
	}
	if o.VisaTTL == 0 {
		o.VisaTTL = defaultVisaTTL
	}
	if o.Keep == 0 {
		o.Keep = min(defaultKeep, o.VisaTTL/2)
	}
	if o.VisaTTL < minVisaTTL || o.Keep < 0 || o.Keep > o.VisaTTL/2 {
		return fmt.Errorf("%w: visas last %s or more, and are remembered for at most half of that", ErrOptions, minVisaTTL)
	}
	if o.Grants == nil {
		o.Grants = func(trust.Identity) []access.Grant { return nil }
	}
	if o.Linked == nil {
		o.Linked = func(trust.Identity) []trust.LinkedIdentity { return nil }
	}
	if o.Datasets == nil {
		o.Datasets = func() []access.Dataset { return nil }
	}
	if o.Revoked == nil {
		o.Revoked = func() *trust.Revocations { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Warnings are what the operator should look at, in sentences.
func (d *Desk) Warnings() []string { return append([]string(nil), d.warnings...) }

// Keys are the public keys to publish at JKU.
func (d *Desk) Keys() []trust.Key { return []trust.Key{d.signer.Public()} }
