package federation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

const accessToken = "opaque-access-token-of-alice"

// signedIn is alice with an access token and no passport of her own.
func signedIn() trust.Caller {
	c := alice()
	c.Passports, c.Token = nil, trust.NewAccessToken(accessToken)
	return c
}

// made is a broker that makes a passport for each target.
func made(_ context.Context, _ trust.Caller, to Peer, _ string) (Travel, error) {
	text := fmt.Sprintf("secret-passport:https://broker.example.org|a-1|for-%s", to.Site)
	return Travel{
		Identity:  trust.Identity{Issuer: "https://broker.example.org", Subject: "a-1"},
		Passports: []trust.Passport{trust.NewPassport(text)},
	}, nil
}

func travelling(travel func(context.Context, trust.Caller, Peer, string) (Travel, error)) func(*Options) {
	return func(o *Options) { o.Travel = travel }
}

// Row 70: a peer gets the passport that was made for it, and never the access
// token, nor the passport of another target.
func TestEachTargetGetsItsOwnPassport(t *testing.T) {
	w := newWorld(t, travelling(made))
	answer, err := w.site("uhn").everyone.Ask(t.Context(), signedIn(), aQuestion())
	if err != nil || !answer.Complete() {
		t.Fatal(statuses(answer), err)
	}
	if len(w.sent()) != 2 {
		t.Fatalf("%d messages", len(w.sent()))
	}
	for _, s := range w.sent() {
		if bytes.Contains(s.message, []byte(accessToken)) {
			t.Errorf("the access token went to %s", s.to)
		}
		for _, other := range []string{"bcgsc", "chus"} {
			if got := bytes.Contains(s.message, []byte("for-"+other)); got != (string(s.to) == other) {
				t.Errorf("the passport for %s at %s: %t", other, s.to, got)
			}
		}
		for _, c := range w.site(s.to).self.asked() {
			if c.Identity.Subject != "a-1" || c.Origin != "uhn" {
				t.Errorf("%s was asked by %+v", s.to, c.Identity)
			}
		}
	}
	// The passport that the node itself got for the token was made for this site.
	c := signedIn()
	c.Passports = alice().Passports
	if answer, err := w.site("uhn").everyone.Ask(t.Context(), c, aQuestion()); err != nil || !answer.Complete() {
		t.Fatal(statuses(answer), err)
	}
	for _, s := range w.sent() {
		if bytes.Contains(s.message, []byte(alicePassport)) {
			t.Errorf("this site's own passport went to %s", s.to)
		}
	}
	record := w.site("uhn").log.of(audit.EventForward)[0]
	if record.Caller != alice().Identity || !slices.Equal(record.Passports, []trust.Digest{signedIn().Token.Digest()}) {
		t.Errorf("this site's own record: %+v", record)
	}
}

// A passport that the caller showed goes as it is: nothing is got besides.
func TestAShownPassportIsNotExchanged(t *testing.T) {
	w := newWorld(t, travelling(func(context.Context, trust.Caller, Peer, string) (Travel, error) {
		t.Error("a passport was asked for")
		return Travel{}, ErrNoPassport
	}))
	for _, c := range []trust.Caller{alice(), {}} {
		if answer, err := w.site("uhn").everyone.Ask(t.Context(), c, aQuestion()); err != nil || !answer.Complete() {
			t.Fatal(statuses(answer), err)
		}
	}
}

// What cannot be got for one target costs that target's part only, and says why.
func TestNoPassportForATarget(t *testing.T) {
	for name, one := range map[string]struct {
		err  error
		want string
		code string
	}{
		"none may be shown":    {fmt.Errorf("%w: no exchange", ErrNoPassport), "chus=refused", "no_passport"},
		"the provider is down": {fmt.Errorf("%w: 503", ErrNoBroker), "chus=error", "no_broker"},
		"anything else":        {errors.New("secret-detail"), "chus=error", "no_broker"},
	} {
		w := newWorld(t, travelling(func(ctx context.Context, c trust.Caller, to Peer, txn string) (Travel, error) {
			if to.Site == "chus" {
				return Travel{}, one.err
			}
			return made(ctx, c, to, txn)
		}))
		answer, err := w.site("uhn").everyone.Ask(t.Context(), signedIn(), aQuestion())
		if err != nil || answer.Complete() || !strings.Contains(statuses(answer), one.want) || !strings.Contains(statuses(answer), "bcgsc=ok") {
			t.Errorf("%s: %s, %v", name, statuses(answer), err)
		}
		for _, p := range answer.Parts {
			if p.Site == "chus" && (p.Error.Code != one.code || strings.Contains(p.Error.Message, "secret-detail")) {
				t.Errorf("%s: %+v", name, p.Error)
			}
		}
		for _, s := range w.sent() {
			if s.to == "chus" {
				t.Errorf("%s: chus was asked all the same", name)
			}
		}
	}
}

// A travel without passports would make the caller nobody at the target: it is a
// fault, not an anonymous question.
func TestAnEmptyTravelIsAFault(t *testing.T) {
	w := newWorld(t, travelling(func(context.Context, trust.Caller, Peer, string) (Travel, error) { return Travel{}, nil }))
	answer, err := w.site("uhn").everyone.Ask(t.Context(), signedIn(), aQuestion())
	if err != nil || len(w.sent()) != 0 || !strings.Contains(statuses(answer), "chus=error") {
		t.Errorf("%s, %v, %d messages", statuses(answer), err, len(w.sent()))
	}
}

// A provider that never answers costs its targets' parts, in time.
func TestASilentProvider(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Deadline = 200_000_000
		o.Travel = func(ctx context.Context, _ trust.Caller, _ Peer, _ string) (Travel, error) {
			<-ctx.Done()
			return Travel{}, ctx.Err()
		}
	})
	answer, err := w.site("uhn").everyone.Ask(t.Context(), signedIn(), aQuestion())
	if err != nil || !strings.Contains(statuses(answer), "chus=timeout") || !strings.Contains(statuses(answer), "uhn=ok") {
		t.Errorf("%s, %v", statuses(answer), err)
	}
}
