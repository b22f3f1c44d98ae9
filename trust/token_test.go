package trust_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
)

// A passport is a secret until it expires. However somebody prints, logs or
// encodes it, alone or inside of other things, its bytes do not come out.
func TestPassportNeverShowsItsBytes(t *testing.T) {
	const secret = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"
	p := trust.NewPassport(secret)
	caller := trust.Caller{Identity: trust.Identity{Issuer: "i", Subject: "s"}, Passports: []trust.Passport{p}}
	things := map[string]any{
		"passport": p, "pointer": &p, "slice": []trust.Passport{p}, "map": map[string]trust.Passport{"p": p},
		"struct": struct{ P trust.Passport }{p}, "caller": caller, "pointer to caller": &caller, "any": []any{p, &p},
	}
	for name, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%w", "%10.3v"} {
			check(t, name+" "+verb, fmt.Sprintf(verb, thing), secret)
		}
		check(t, name+" Sprint", fmt.Sprint(thing), secret)
		check(t, name+" error", fmt.Errorf("bad: %v", thing).Error(), secret)
		encoded, err := json.Marshal(thing)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		check(t, name+" JSON", string(encoded), secret)
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			logger := slog.New(handler).With("held", thing)
			logger.Error("x", "thing", thing, slog.Any("any", thing), slog.Group("group", "thing", thing))
		}
		check(t, name+" log", log.String(), secret)
	}
	if keys, err := json.Marshal(map[trust.Passport]int{p: 1}); err == nil {
		check(t, "key of a map", string(keys), secret)
	}
	if p.Compact() != secret {
		t.Error("Compact does not give the bytes")
	}
	if p.Digest() != trust.DigestOf([]byte(secret)) {
		t.Error("the digest is not that of the bytes")
	}
	if !strings.Contains(p.String(), p.Digest().Short()) {
		t.Errorf("%s does not name its digest", p)
	}
}

func check(t *testing.T, how, printed, secret string) {
	t.Helper()
	hex := fmt.Sprintf("%x", secret)
	for _, part := range append(strings.Split(secret, "."), hex, strings.ToUpper(hex), fmt.Sprint([]byte(secret))) {
		if strings.Contains(printed, part) {
			t.Errorf("%s gives the secret away: %s", how, printed)
			return
		}
	}
}

func TestDigest(t *testing.T) {
	d := trust.DigestOf([]byte("abc"))
	// SHA-256 of "abc" (FIPS 180-4, example), as unpadded base64url.
	const want = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
	if d.String() != want || d.Short() != want[:12] {
		t.Errorf("%s, %s", d, d.Short())
	}
	back, err := trust.ParseDigest(want)
	if err != nil || back != d || back.IsZero() {
		t.Errorf("ParseDigest: %v, %v", back, err)
	}
	if !(trust.Digest{}).IsZero() {
		t.Error("the zero Digest is not zero")
	}
	encoded, err := json.Marshal(map[trust.Digest]trust.Digest{d: d})
	if err != nil || string(encoded) != `{"`+want+`":"`+want+`"}` {
		t.Errorf("%s, %v", encoded, err)
	}
	var decoded map[trust.Digest]trust.Digest
	if err := json.Unmarshal(encoded, &decoded); err != nil || decoded[d] != d {
		t.Errorf("%v, %v", decoded, err)
	}
}

// One spelling per digest: two that mean the same would be two entries in a set.
func TestParseDigestTakesOneSpelling(t *testing.T) {
	good := trust.DigestOf(nil).String()
	for name, s := range map[string]string{
		"empty": "", "short": good[:42], "long": good + "A", "padded": good + "=",
		"standard base64": strings.NewReplacer("-", "+", "_", "/").Replace(trust.DigestOf([]byte("abc")).String()),
		"line end":        good + "\n", "space": " " + good[1:], "hex": strings.Repeat("0", 64),
		"bits behind the end": good[:42] + "V", // the last character carries four bits; the rest must be zero
		"huge":                strings.Repeat("A", 100_000),
	} {
		d, err := trust.ParseDigest(s)
		if !errors.Is(err, trust.ErrDigest) || !d.IsZero() {
			t.Errorf("%s: %v, %v; want ErrDigest", name, d, err)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
	var d trust.Digest
	if err := d.UnmarshalText([]byte("no")); !errors.Is(err, trust.ErrDigest) {
		t.Errorf("UnmarshalText: %v", err)
	}
}
