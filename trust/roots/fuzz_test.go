package roots

import (
	"errors"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
)

// Whatever bytes come as a chain: an error or a chain that opens again to the same.
func FuzzOpen(f *testing.F) {
	c := site(f)
	join := func(c *Chain) string {
		var texts []string
		for _, r := range c.Records() {
			texts = append(texts, string(r))
		}
		return strings.Join(texts, "\n")
	}
	f.Add(join(c))
	f.Add(join(rotate(f, update(f, c, rootKey, renamed("x")), nextKey, afterKey, trust.Digest{})))
	f.Add("a.b.c~d.e.f")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		var records []Signed
		for line := range strings.SplitSeq(text, "\n") {
			records = append(records, Signed(line))
		}
		c, err := Open(records)
		if err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatalf("%v is no ErrRecord", err)
			}
			return
		}
		again, err := Open(c.Records())
		if err != nil || again.ID() != c.ID() || again.Digest() != c.Digest() {
			t.Fatalf("it does not open again: %v", err)
		}
	})
}
