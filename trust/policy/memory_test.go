package policy

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/configs"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

func grantedInput(now time.Time) access.Input {
	id := trust.Identity{Issuer: "https://idp.example.org", Subject: "rosalind"}
	return access.Input{
		Now: now, Site: "uhn", Entity: query.GVariants, Granularity: query.Count,
		Caller: trust.Caller{Identity: id, Until: now.Add(time.Hour), Origin: "bcgsc", Person: id,
			Linked: []trust.LinkedIdentity{{Identity: trust.Identity{Issuer: "https://x.example.org", Subject: "r"}, Until: now.Add(time.Hour)}}, Visas: []trust.Visa{{
				Identity: id, Type: trust.VisaControlledAccessGrants, Value: "v", Source: "https://dac.example.org", By: "dac",
				Asserted: now.Add(-time.Hour), Expires: now.Add(time.Hour), Digest: trust.DigestOf([]byte("visa")), KeyID: "k",
			}}},
		Dataset: access.Dataset{
			ID: "d1", Level: access.Controlled, Value: "v", Issuers: []string{"https://idp.example.org"},
			Sources: []string{"https://dac.example.org"}, By: []string{"dac"}, RegisteredBy: access.ByVisas,
		},
		Grants: []access.Grant{{ID: "g", Identity: id, Dataset: "d1", Until: now.Add(time.Hour), Created: now.Add(-time.Hour)}},
	}
}

// Whatever a decision may depend on is part of the key: every field of the input
// is changed in turn. A field that is added to the input fails here until the key
// names it.
func TestEveryFieldOfAnInputIsRemembered(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	base := keyOf([]access.Input{grantedInput(now)})
	// These name what was verified, not what is decided about.
	exempt := map[string]bool{"Caller.Passports": true, "Caller.Stays": true, "Caller.TrustRevision": true, "Caller.Visas[0].KeyID": true,
		// The end of the caller's links stands in Linked; the rest is for other desks.
		"Caller.PersonUntil": true, "Caller.Links": true, "Caller.Supports": true, "Caller.Token": true, "Caller.Sets": true,
		// Another one with each question: a decision that depended on it would never be remembered.
		"Caller.Forwarding": true,
	}
	changed := 0
	var walk func(path string, v reflect.Value, check func())
	walk = func(path string, v reflect.Value, check func()) {
		if exempt[path] {
			return
		}
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		defer v.Set(old)
		switch {
		case v.Type() == reflect.TypeFor[time.Time]():
			v.Set(reflect.ValueOf(v.Interface().(time.Time).Add(time.Second)))
		case v.Type() == reflect.TypeFor[trust.Digest]():
			v.Set(reflect.ValueOf(trust.DigestOf([]byte("other"))))
		case v.Kind() == reflect.String:
			v.SetString(v.String() + "x")
		case v.Kind() == reflect.Bool:
			v.SetBool(!v.Bool())
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				name := v.Type().Field(i).Name
				if path != "" && !v.Type().Field(i).Anonymous {
					name = path + "." + name
				} else if v.Type().Field(i).Anonymous {
					name = path
				}
				walk(name, v.Field(i), check)
			}
			return
		case v.Kind() == reflect.Slice && v.Len() > 0:
			walk(path+"[0]", v.Index(0), check)
			v.Set(reflect.Zero(v.Type()))
		default:
			t.Fatalf("%s has kind %s: teach this test to change it", path, v.Kind())
		}
		changed++
		defer func(path string) {
			if t.Failed() {
				t.Logf("changed %s", path)
			}
		}(path)
		check()
	}
	in := grantedInput(now)
	walk("", reflect.ValueOf(&in).Elem(), func() {
		if keyOf([]access.Input{in}) == base {
			t.Errorf("an input that differs has the same key")
		}
	})
	if changed < 30 {
		t.Errorf("only %d fields were changed", changed)
	}
	if keyOf([]access.Input{grantedInput(now)}) != base {
		t.Error("the test did not put its input back, or equal inputs have different keys")
	}
}

// No sequence of questions changes what a later one yields: the memory's decision
// is the policy's own, at the second rounded down.
func TestARememberedDecisionIsThePolicysOwn(t *testing.T) {
	p, err := Load(t.Context(), configs.Policy())
	if err != nil {
		t.Fatal(err)
	}
	m := Remember(p)
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(1_700_000_000, 0)
		for range rapid.IntRange(1, 12).Draw(t, "questions") {
			in := grantedInput(start)
			in.Now = start.Add(time.Duration(rapid.Int64Range(-2, 5000).Draw(t, "ms")) * time.Millisecond)
			in.Caller.Visas[0].Expires = start.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "visa ends")) * time.Second)
			if rapid.Bool().Draw(t, "revoked") {
				in.Grants = nil
			}
			if rapid.Bool().Draw(t, "other value") {
				in.Caller.Visas[0].Value = "other"
			}
			if rapid.Bool().Draw(t, "anonymous") {
				in.Caller, in.Grants = trust.Caller{}, nil
			}
			got, err := m.Decide(t.Context(), []access.Input{in})
			if err != nil {
				t.Fatal(err)
			}
			in.Now = in.Now.Truncate(time.Second)
			want, err := p.Decide(t.Context(), []access.Input{in})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("remembered %+v, the policy says %+v", got, want)
			}
		}
	})
}

func TestTheMemoryIsBounded(t *testing.T) {
	p, err := Load(t.Context(), configs.Policy())
	if err != nil {
		t.Fatal(err)
	}
	m := Remember(p)
	for i := range 3 * MaxRemembered {
		m.keep(keyOf([]access.Input{{Entity: query.Entity(fmt.Sprint(i))}}), nil)
	}
	if n := len(m.newer) + len(m.older); n > 2*MaxRemembered {
		t.Errorf("%d decisions are held, at most %d", n, 2*MaxRemembered)
	}
}
