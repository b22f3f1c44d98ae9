package vectors_test

import (
	"crypto/ecdsa"
	"encoding/asn1"
	"math/big"
	"strings"
)

// shortened writes long runs of unit in s as a recipe.
func shortened(s, unit string) text {
	var t text
	from := 0
	for from < len(s) {
		start := strings.Index(s[from:], unit+unit+unit+unit)
		if start < 0 {
			break
		}
		start += from
		times := 0
		for strings.HasPrefix(s[start+times*len(unit):], unit) {
			times++
		}
		if start > from {
			t.parts = append(t.parts, part{s[from:start], 1})
		}
		t.parts = append(t.parts, part{unit, times})
		from = start + times*len(unit)
	}
	if from < len(s) {
		t.parts = append(t.parts, part{s[from:], 1})
	}
	return t
}

// repeating is a payload with a piece of it many times over. Both are filled up with
// spaces to whole groups of three bytes, so that their base64url repeats as well.
type repeating struct {
	before, unit, after string
	times               int
}

func filled(s string) string { return s + strings.Repeat(" ", (3-len(s)%3)%3) }

// signed gives the token's recipe.
func (k secretKeys) signed(alg, key, header string, r repeating) text {
	r.before, r.unit = filled(r.before), filled(r.unit)
	payload := r.before + strings.Repeat(r.unit, r.times) + r.after
	compact := k.sign(alg, key, header, payload)
	head, _, _ := strings.Cut(compact, ".")
	_, tail, _ := strings.Cut(compact[len(head)+1:], ".")
	return text{[]part{
		{head + "." + b64([]byte(r.before)), 1}, {b64([]byte(r.unit)), r.times},
		{b64([]byte(r.after)) + "." + tail, 1},
	}}
}

func asn1Of(rs []byte) []byte {
	half := len(rs) / 2
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(rs[:half]), new(big.Int).SetBytes(rs[half:])})
	if err != nil {
		panic(err)
	}
	return der
}

// malleated is the other signature of the same text.
func malleated(key *ecdsa.PublicKey, rs []byte) []byte {
	half := len(rs) / 2
	s := new(big.Int).SetBytes(rs[half:])
	other := new(big.Int).Sub(key.Params().N, s)
	return append(append([]byte{}, rs[:half]...), other.FillBytes(make([]byte, half))...)
}
