package web

import (
	"net/http"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/trust/passport"
)

// whoami tells a caller what the node makes of the caller's own credentials.
func whoami(e *exchange) error {
	c, body, err := e.body()
	if err != nil {
		return err
	}
	if c, err = e.withBody(c, body); err != nil {
		return err
	}
	leave, err := e.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := e.begin()
	defer cancel()
	verdict, err := e.verify(c, false)
	if err != nil {
		return err
	}
	who := whoamiOf(verdict)
	if !c.shown.Session.IsZero() && e.o.Sessions != nil {
		s, err := e.o.Sessions.Identify(ctx, c.shown.Session, e.identified.shown.Proven)
		if err != nil {
			return e.refused(c, err) // it ended meanwhile
		}
		own := sessionOf(s, s.ID)
		who.Session = &own
	}
	return e.answer(http.StatusOK, jsonType, who)
}

func whoamiOf(v passport.Verdict) api.Whoami {
	who := api.Whoami{
		Caller: api.Caller{Issuer: v.Caller.Issuer, Subject: v.Caller.Subject, Linked: []api.Identity{}},
		Until:  timeOf(v.Until), Passports: []api.Passport{}, Visas: []api.Visa{}, Notes: v.Notes,
	}
	for _, linked := range v.Caller.Linked {
		who.Caller.Linked = append(who.Caller.Linked, api.Identity{Issuer: linked.Issuer, Subject: linked.Subject, Until: timeOf(linked.Until)})
	}
	for _, p := range v.Passports {
		who.Passports = append(who.Passports, api.Passport{Issuer: p.Issuer, Accepted: p.Accepted})
	}
	for _, visa := range v.Visas {
		who.Visas = append(who.Visas, api.Visa{
			Issuer: visa.Issuer, Subject: visa.Subject, Type: visa.Type, Value: visa.Value,
			Source: visa.Source, By: visa.By, Accepted: visa.Accepted,
			Reason: string(visa.Reason), Detail: visa.Detail, Key: visa.Key, Until: timeOf(visa.Until),
			Trace: visa.Trace,
		})
	}
	return who
}

// timeOf gives nil for the zero time, which means no limit.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
