package issuers

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

// mixed are bundles whose parts do not belong together, or whose head no honest site
// signs.
func mixed() map[string]wireBundle {
	a, b := newSigner("a"), newSigner("b")
	obs := a.obs(testIssuer, noon, "k")
	other := a.obs("https://other", noon, "l")
	foreign := a
	foreign.network = "another network"
	var many []string
	for i := range MaxRecords + 1 {
		many = append(many, a.obs(fmt.Sprint("https://", i), noon, "k"))
	}
	return map[string]wireBundle{
		"a record is missing": func() wireBundle {
			w := a.bundle(1, 0, 1, trust.Digest{}, nil, obs, other)
			w.Records = w.Records[:1]
			return w
		}(),
		"a record too many": func() wireBundle {
			w := a.bundle(1, 0, 1, trust.Digest{}, nil, obs)
			w.Records = append(w.Records, other)
			return w
		}(),
		"a record exchanged": func() wireBundle {
			w := a.bundle(1, 0, 1, trust.Digest{}, nil, obs)
			w.Records = []string{other}
			return w
		}(),
		"a record twice": a.bundle(1, 0, 1, trust.Digest{}, nil, obs, obs),
		"another site record": func() wireBundle {
			w := a.bundle(1, 0, 1, trust.Digest{}, nil, obs)
			w.Site = a.bundle(1, 1, 1, trust.Digest{}, nil).Site
			return w
		}(),
		"n is wrong":               a.bundle(1, 0, 1, trust.Digest{}, func(h *Head) { h.Count++ }, obs),
		"n is zero":                a.bundle(1, 0, 1, trust.Digest{}, func(h *Head) { h.Count = 0 }, obs),
		"an author's quota":        a.bundle(1, 0, 1, trust.Digest{}, nil, many...),
		"a record of another site": a.bundle(1, 0, 1, trust.Digest{}, nil, b.obs(testIssuer, noon, "k")),
		"the head of another site": func() wireBundle {
			w := a.bundle(1, 0, 1, trust.Digest{}, nil, obs)
			w.Head = b.bundle(1, 0, 1, trust.Digest{}, nil).Head
			return w
		}(),
		"all of another site":         func() wireBundle { w := b.bundle(1, 0, 1, trust.Digest{}, nil); w.Of = a.node; return w }(),
		"a head as a record":          a.bundle(1, 0, 1, trust.Digest{}, nil, string(a.head(1, 0, 1, trust.Digest{}, "").envelope)),
		"another network":             foreign.bundle(1, 0, 1, trust.Digest{}, nil),
		"the head of another network": a.bundle(1, 0, 1, trust.Digest{}, func(h *Head) { h.Net = foreign.net() }, obs),
		"epoch of head and site":      a.bundle(1, 0, 1, trust.Digest{}, func(h *Head) { h.Epoch = 2 }, obs),
		"update of head and site":     a.bundle(1, 0, 1, trust.Digest{}, func(h *Head) { h.Update = 2 }, obs),
		"version zero":                a.bundle(1, 0, 0, trust.Digest{}, nil, obs),
		"a negative version":          a.bundle(1, 0, -1, trust.Digest{}, nil, obs),
		"a version beyond all bounds": a.bundle(1, 0, maxCounter+1, trust.Digest{}, nil, obs),
		"a head that lives too long":  a.bundle(1, 0, 1, trust.Digest{}, func(h *Head) { h.Expires = h.Issued + int64(maxLife/time.Second) + 1 }, obs),
		"a head that never lived":     a.bundle(1, 0, 1, trust.Digest{}, func(h *Head) { h.Expires = h.Issued }, obs),
		"a lifetime that overflows":   a.bundle(1, 0, 1, trust.Digest{}, func(h *Head) { h.Issued, h.Expires = -1<<62, 1<<62 }, obs),
	}
}

// bent are bundles with one record that is signed as it should be and says what it
// must not.
func bent() map[string]wireBundle {
	a, b := newSigner("a"), newSigner("b")
	obs := a.obs(testIssuer, noon, "k")
	foreign := a
	foreign.network = "another network"
	bentSite := func(bend func(*siteRecord)) wireBundle {
		r := a.siteRecord(1, 0, nil)
		bend(&r)
		return a.bundleWith(r, 1, trust.Digest{}, nil, obs)
	}
	bentObs := func(bend func(*obsRecord)) wireBundle {
		r := obsRecord{a.net(), testIssuer, "", trust.Digest{}, []string{print("k")}, noon.Unix(), trust.Digest{}, ""}
		bend(&r)
		return a.bundle(1, 0, 1, trust.Digest{}, nil, a.seal(typObs, r))
	}
	two := []string{print("k"), print("l")}
	slices.Sort(two)
	return map[string]wireBundle{
		"the site's network":         bentSite(func(r *siteRecord) { r.Net = foreign.net() }),
		"the site's node":            bentSite(func(r *siteRecord) { r.Node = b.node }),
		"the site's key":             bentSite(func(r *siteRecord) { r.Key = encodeKey(b.public()) }),
		"a site that lives too long": bentSite(func(r *siteRecord) { r.Expires = r.Issued + int64(maxSiteLife/time.Second) + 1 }),
		"an empty client id":         bentSite(func(r *siteRecord) { r.ClientIDs = map[string][]string{testIssuer: {""}} }),
		"too many client ids": bentSite(func(r *siteRecord) {
			r.ClientIDs = map[string][]string{testIssuer: slices.Repeat([]string{"x"}, maxClientIDs+1)}
		}),
		"observation without issuer": bentObs(func(r *obsRecord) { r.Issuer = "" }),
		"observation without keys":   bentObs(func(r *obsRecord) { r.Keys = nil }),
		"thumbprints not sorted":     bentObs(func(r *obsRecord) { r.Keys = []string{two[1], two[0]} }),
		"a thumbprint twice":         bentObs(func(r *obsRecord) { r.Keys = []string{two[0], two[0]} }),
		"not a thumbprint":           bentObs(func(r *obsRecord) { r.Keys = []string{"k"} }),
		"observed after the head":    bentObs(func(r *obsRecord) { r.At += 3600 }),
		"observed in no year":        bentObs(func(r *obsRecord) { r.At = 1 << 60 }),
		"observation elsewhere":      bentObs(func(r *obsRecord) { r.Net = b.net() }),
		"a record beyond its size":   bentObs(func(r *obsRecord) { r.JWKSURI = strings.Repeat("x", MaxRecordBytes) }),
		"a client id beyond its size": bentSite(func(r *siteRecord) {
			r.ClientIDs = map[string][]string{testIssuer: {strings.Repeat("x", maxClientIDBytes+1)}}
		}),
		"a site that never lived":   bentSite(func(r *siteRecord) { r.Expires = r.Issued }),
		"more keys than are taken":  bentObs(func(r *obsRecord) { r.Keys = slices.Repeat(r.Keys, maxKeys+1) }),
		"an issuer beyond its size": bentObs(func(r *obsRecord) { r.Issuer = strings.Repeat("x", maxURLBytes+1) }),
	}
}

// Atomicity, Authorship, TimeBounds: each way in which a bundle can be wrong is
// refused by itself.
func TestBundleRefusals(t *testing.T) {
	a := newSigner("a")
	wrong := mixed()
	maps.Copy(wrong, bent())
	for name, w := range wrong {
		t.Run(name, func(t *testing.T) {
			if got, _, err := w.verify(a.pin, nil); !errors.Is(err, ErrRecord) {
				t.Errorf("error %v, bundle %+v", err, got)
			}
		})
	}
	good, key, err := a.bundle(1, 0, 1, trust.Digest{}, nil, a.obs("https://other", noon, "l"), a.obs(testIssuer, noon, "k")).verify(a.pin, nil)
	if err != nil || len(good.observations) != 2 || !key.Equal(a.public()) {
		t.Errorf("a good bundle: %v", err)
	}
}

// TimeBounds: a bundle is right at some times only, by its head and by its site record.
func TestBundleTimes(t *testing.T) {
	a := newSigner("a")
	for name, test := range map[string]struct {
		siteFrom, siteTo, head time.Duration // from noon
		ok                     bool
	}{
		"now":                                 {0, time.Hour, 0, true},
		"a site record that has just expired": {-time.Hour, 0, 0, false},
		"a site record that expires next":     {-time.Hour, time.Second, 0, true},
		"a site record within skew":           {skew, time.Hour, 0, true},
		"a site record of the future":         {skew + time.Second, time.Hour, 0, false},
		"a head within skew":                  {0, time.Hour, skew, true},
		"a head of the future":                {0, time.Hour, skew + time.Second, false},
		"a head as old as counts":             {-siteLife / 2, time.Hour, -MaxStale, true},
		"a head older than counts":            {-siteLife / 2, time.Hour, -MaxStale - time.Second, false},
	} {
		r := a.siteRecord(1, 0, nil)
		r.Issued, r.Expires = noon.Add(test.siteFrom).Unix(), noon.Add(test.siteTo).Unix()
		b, _, err := a.bundleWith(r, 1, trust.Digest{}, func(h *Head) {
			h.Issued, h.Expires = noon.Add(test.head).Unix(), noon.Add(test.head+maxLife).Unix()
		}).verify(a.pin, nil)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := b.timely(noon); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A record that was verified before is not verified again, and only exactly that one:
// what is held is found by the digest of its bytes.
func TestVerifiedRecordsAreReused(t *testing.T) {
	a := newSigner("a")
	first, key, err := a.bundle(1, 0, 1, trust.Digest{}, nil, a.obs(testIssuer, noon, "k")).verify(a.pin, nil)
	if err != nil {
		t.Fatal(err)
	}
	held := (*author)(nil).withBundle(a.pin, key, first).held()
	if len(held) != 1 || (*author)(nil).held() != nil {
		t.Errorf("held %v", held)
	}
	broken := []byte(first.records.Records[0])
	broken[len(broken)-10] ^= 1
	if _, _, err := a.bundle(1, 0, 2, first.head.hash, nil, string(broken)).verify(a.pin, held); !errors.Is(err, ErrRecord) {
		t.Errorf("a record with another signature: %v", err)
	}
	next, _, err := a.bundle(1, 0, 2, first.head.hash, nil, first.records.Records[0]).verify(a.pin, held)
	if err != nil || !reflect.DeepEqual(next.observations, first.observations) {
		t.Errorf("%+v, %v", next, err)
	}
}
