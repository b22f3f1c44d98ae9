package web

import (
	"net/http"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust/passport"
)

// whoami tells a caller what the node makes of the caller's own passports.
func whoami(e *exchange) error {
	body, err := e.body()
	if err != nil {
		return err
	}
	passports, err := beacon.DecodePassports(body)
	if err != nil {
		return err
	}
	if len(passports) == 0 {
		return errNoPassport
	}
	leave, err := e.enter()
	if err != nil {
		return err
	}
	defer leave()
	_, cancel := e.begin()
	defer cancel()
	verdict, err := e.verify(passports, false)
	if err != nil {
		return err
	}
	return e.answer(http.StatusOK, jsonType, whoamiOf(verdict))
}

func whoamiOf(v passport.Verdict) api.Whoami {
	who := api.Whoami{
		Caller: api.Caller{Issuer: v.Caller.Issuer, Subject: v.Caller.Subject, Linked: []api.Identity{}},
		Until:  timeOf(v.Until), Passports: []api.Passport{}, Visas: []api.Visa{},
	}
	for _, p := range v.Passports {
		who.Passports = append(who.Passports, api.Passport{Issuer: p.Issuer, Accepted: p.Accepted})
	}
	for _, visa := range v.Visas {
		who.Visas = append(who.Visas, api.Visa{
			Issuer: visa.Issuer, Subject: visa.Subject, Type: visa.Type, Value: visa.Value,
			Source: visa.Source, By: visa.By, Accepted: visa.Accepted,
			Reason: string(visa.Reason), Detail: visa.Detail, Key: visa.Key, Until: timeOf(visa.Until),
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
