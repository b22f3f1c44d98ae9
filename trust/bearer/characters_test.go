package bearer_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport"
)

// A token has the characters of RFC 6750, section 2.1, and '=' at its end only.
func TestCharactersOfATokenAreCheckedOneByOne(t *testing.T) {
	w := newWorld(t)
	const good = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	for c := range 256 {
		for _, token := range []string{"some" + string([]byte{byte(c)}) + "thing", "something" + string([]byte{byte(c)})} {
			_, err := w.show(token)
			refusal, ok := errors.AsType[*passport.Refusal](err)
			malformed := ok && refusal.Reason == trust.ReasonMalformed && strings.Contains(refusal.Detail, "characters")
			fits := strings.IndexByte(good, byte(c)) >= 0 || c == '=' && strings.HasSuffix(token, "=")
			if malformed == fits {
				t.Errorf("%q: %v", token, err)
			}
		}
	}
}
