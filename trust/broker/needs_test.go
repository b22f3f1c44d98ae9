package broker_test

import (
	"testing"

	"github.com/candignode/candignode/trust/broker"
)

// A target that would not believe the link does not learn who the person is elsewhere.
func TestATargetWithoutUseForTheLinkGetsNone(t *testing.T) {
	asked := ""
	o := open(t, func(o *broker.Options) {
		o.MayLink = func(audience, of string) bool { asked = of; return audience != siteB }
	})
	for audience, want := range map[string]int{siteB: 0, siteC: 1} {
		_, c := o.read(o.forward(audience).Compact())
		if len(c.Visas) != want || c.Subject == "" || asked != o.caller.Issuer {
			t.Errorf("for %s: %d visas, asked of %q", audience, len(c.Visas), asked)
		}
	}
}
