package broker_test

import (
	"context"
	"sync"
	"testing"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/broker"
)

// Row 71: no endpoint that tokens go to or come from is offered without TLS.
func TestEndpointsNeedTLS(t *testing.T) {
	var options broker.Options
	open(t, func(o *broker.Options) { options = *o })
	options.Endpoints.UserInfo = "http://a.example/oauth/userinfo"
	if _, err := broker.New(options); err == nil {
		t.Error("tokens over a plain connection")
	}
}

// A burst of one person's questions gives one passport, whoever was first; one assertion that
// is sent many times at once is good once.
func TestBursts(t *testing.T) {
	o := open(t)
	o.forward(siteC, o.held...)
	form := o.form()
	var wait sync.WaitGroup
	var mu sync.Mutex
	passports, good := map[trust.Digest]bool{}, 0
	for range 16 {
		wait.Go(func() {
			_, p, err := o.broker.Passport(context.Background(), o.caller, o.held, siteB, o.until, "tx")
			_, exchanged := o.exchange(form)
			mu.Lock()
			defer mu.Unlock()
			passports[p.Digest()] = err == nil
			if exchanged == nil {
				good++
			}
		})
	}
	wait.Wait()
	if len(passports) != 1 || good != 1 {
		t.Error(len(passports), "passports;", good, "exchanges")
	}
}
