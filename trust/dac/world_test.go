package dac_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/dac"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
)

const (
	issuer = "https://d.example"
	jku    = "https://d.example/jwks"
	source = "https://dac.d.example"
	value  = "https://d.example/datasets/rarivitis"
)

var (
	start = time.Unix(1_800_000_000, 0).UTC()
	alice = trust.Identity{Issuer: "https://idp.a.example/", Subject: "alice"}
	other = trust.Identity{Issuer: "https://idp.b.example", Subject: "a17"}
	bob   = trust.Identity{Issuer: "https://idp.a.example/", Subject: "bob"}
)

// committee is a site with a desk, its grants and its audit log.
type committee struct {
	t      testing.TB
	desk   *dac.Desk
	key    *ecdsa.PrivateKey
	broken error // of the recorder
	during func()

	mu       sync.Mutex
	now      time.Time
	grants   []access.Grant
	links    []trust.LinkedIdentity // of alice
	datasets []access.Dataset
	revoked  *trust.Revocations
	records  []audit.Record
}

func key(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (c *committee) Record(_ context.Context, records ...audit.Record) error {
	if c.during != nil {
		c.during()
	}
	if c.broken != nil {
		return c.broken
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records = append(c.records, records...)
	return nil
}

func found(t testing.TB, change ...func(*dac.Options)) *committee {
	t.Helper()
	c := &committee{
		t: t, key: key(t), now: start,
		datasets: []access.Dataset{{ID: "rarivitis", Level: access.Controlled, Value: value}},
	}
	o := c.options()
	for _, f := range change {
		f(&o)
	}
	var err error
	if c.desk, err = dac.New(o); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *committee) options() dac.Options {
	subjects, err := mint.NewSubjects([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		c.t.Fatal(err)
	}
	return dac.Options{
		Issuer: issuer, Source: source, Key: c.key, JKU: jku,
		Others:  map[string]crypto.PublicKey{"node.key": key(c.t).Public()},
		Subject: subjects.Of, Recorder: c, Now: func() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now },
		Grants: func(of trust.Identity) []access.Grant {
			c.mu.Lock()
			defer c.mu.Unlock()
			return slices.DeleteFunc(slices.Clone(c.grants), func(g access.Grant) bool { return g.Identity != of })
		},
		Linked: func(of trust.Identity) []trust.LinkedIdentity {
			if of != alice {
				return nil
			}
			return c.links
		},
		Datasets: func() []access.Dataset { return c.datasets },
		Revoked:  func() *trust.Revocations { return c.revoked },
	}
}

func (c *committee) grant(id string, to trust.Identity, dataset string, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grants = append(c.grants, access.Grant{ID: id, Identity: to, Dataset: dataset, Until: until, Created: start.Add(-24 * time.Hour)})
}

func (c *committee) revoke(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grants = slices.DeleteFunc(c.grants, func(g access.Grant) bool { return g.ID == id })
}

func (c *committee) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *committee) visas(of trust.Identity) []trust.Passport {
	c.t.Helper()
	visas, err := c.desk.Visas(context.Background(), of, "tx")
	if err != nil {
		c.t.Fatal(err)
	}
	return visas
}

type claims struct {
	Issuer   string         `json:"iss"`
	Subject  jose.Text      `json:"sub"`
	IssuedAt int64          `json:"iat"`
	Expires  int64          `json:"exp"`
	ID       string         `json:"jti"`
	Scope    string         `json:"scope"`
	Visa     map[string]any `json:"ga4gh_visa_v1"`
	Visas    []string       `json:"ga4gh_passport_v1"`
}

// open verifies a token under the published key, and gives all its claims too.
func (c *committee) open(token trust.Passport) (jose.Header, claims, map[string]any) {
	c.t.Helper()
	parsed, err := jose.Parse(token.Compact(), 1<<20)
	if err != nil {
		c.t.Fatal(err)
	}
	payload, err := parsed.Verify(c.desk.Keys()[0], jose.ES256)
	if err != nil {
		c.t.Fatal(err)
	}
	var known claims
	var all map[string]any
	if err := errors.Join(jose.Unmarshal(payload, &known), jose.Unmarshal(payload, &all)); err != nil {
		c.t.Fatal(err)
	}
	return parsed.Header(), known, all
}
