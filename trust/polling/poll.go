package polling

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

// begin starts a poll unless one is under way, and gives what is closed when it is
// over; nil if none may start now. The caller holds mu.
func (d *Desk) begin(e *entry) chan struct{} {
	issuer := e.policy.Issuer
	switch {
	case e.flight != nil:
		return e.flight
	case d.life.Err() != nil || d.flights >= maxFlights || d.flightsOf[issuer] >= maxFlightsOf:
		return nil
	}
	e.flight = make(chan struct{})
	d.flights++
	d.flightsOf[issuer]++
	job := *e
	d.flying.Go(func() {
		after, visas := d.poll(job)
		d.mu.Lock()
		defer d.mu.Unlock()
		there := d.entries[e.digest] == e
		if there {
			d.bytes -= e.size()
		}
		e.state, e.visas, e.due = after, visas, after.Next
		if after.Failures == 0 {
			e.due = e.due.Add(time.Duration(d.options.Random() * float64(spread)))
		}
		if there {
			d.bytes += e.size()
		}
		close(e.flight)
		e.flight = nil
		d.flights--
		if d.flightsOf[issuer]--; d.flightsOf[issuer] == 0 {
			delete(d.flightsOf, issuer)
		}
		d.makeRoom(e)
	})
	return e.flight
}

// poll asks about one visa and gives what is known afterwards.
func (d *Desk) poll(e entry) (access.Poll, []string) {
	ctx, cancel := context.WithTimeout(d.life, pollTime)
	defer cancel()
	started := d.options.Now()
	// It is noted as failed before it is tried, so that a node that dies in the middle
	// again and again does not ask again and again.
	failed := d.failed(e.state, e.expires, started)
	if err := d.options.Store.SavePoll(ctx, e.digest, failed); err != nil {
		d.options.Log.Error("an issuer is not asked about a visa, because that cannot be noted", "visa", e.visa, "error", err)
		return failed, e.visas
	}
	visas, err := d.options.Fetch(ctx, e.policy, e.visa)
	after := d.judge(e, failed, visas, err, started)
	var records []audit.Record
	switch {
	case after.Refused:
		visas = nil
		records = []audit.Record{{
			Time: d.options.Now(), Event: audit.EventRevocation, Caller: e.state.Identity,
			Outcome: "withdrawn", Visas: []trust.Digest{e.digest}, Detail: after.Detail,
		}}
	case after.Failures > 0:
		d.options.Log.Warn("an issuer gave no answer about a visa", "issuer", e.policy.Issuer, "visa", e.visa,
			"failures", after.Failures, "next", after.Next, "error", err)
		return failed, e.visas
	case !after.Replaced:
		visas = nil
	}
	// An answer is noted also when the node is about to stop.
	noting, done := context.WithTimeout(context.WithoutCancel(ctx), pollTime)
	defer done()
	if err := d.options.Store.SavePoll(noting, e.digest, after, records...); err != nil {
		d.options.Log.Error("an issuer's answer about a visa cannot be noted", "visa", e.visa, "error", err)
		if !after.Refused { // a refusal holds all the same
			return failed, e.visas
		}
	}
	return after, visas
}

// failed is what is known if there is no answer: what was confirmed still is, until
// its end, and the next poll is further away than this one was.
func (d *Desk) failed(p access.Poll, expires, now time.Time) access.Poll {
	p.Failures++
	delay := lastRetry
	if doublings := p.Failures - 1; doublings < 16 {
		delay = min(firstRetry<<doublings, lastRetry)
	}
	delay += time.Duration(d.options.Random() * float64(delay) / 2)
	p.Next = now.Add(delay)
	p.Expires = later(expires, p.Next)
	return p
}

// judge says what the answer comes to.
func (d *Desk) judge(e entry, failed access.Poll, visas []string, err error, started time.Time) access.Poll {
	confirmed := access.Poll{
		Identity: failed.Identity, Expires: later(e.expires, started.Add(pollEvery)),
		Until: started.Add(confirmFor), Next: started.Add(pollEvery),
		Detail: "its issuer confirmed it at " + stamp(started),
	}
	refused := access.Poll{
		Identity: failed.Identity, Expires: later(e.expires, started.Add(keepRefused)),
		Next: started.Add(pollEvery), Refused: true,
	}
	switch {
	case errors.Is(err, ErrRefused):
		refused.Detail = "its issuer refused it at " + stamp(started)
		return refused
	case errors.Is(err, ErrUnchanged), err == nil && slices.Contains(visas, e.visa.Compact()):
		return confirmed
	case errors.Is(err, ErrUnusable), err == nil && !usable(visas):
		refused.Detail = "its issuer's answer at " + stamp(started) + " cannot be used, which counts as taking it back"
		return refused
	case err != nil:
		return failed
	}
	confirmed.Replaced = true
	confirmed.Detail = "its issuer put other visas in its place at " + stamp(started)
	return confirmed
}

func usable(visas []string) bool {
	size := 0
	for _, visa := range visas {
		if visa == "" {
			return false
		}
		size += len(visa)
	}
	return len(visas) > 0 && len(visas) <= maxReplacements && size <= maxReplacedBytes
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
