package simulate_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/federation/wire"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/trust"
)

// listener is a peer that keeps every byte that it is sent, and says of its needs what it likes.
type listener struct {
	mu    sync.Mutex
	needs *federation.Needs // nil: a version that does not speak of them
	heard [][]byte
	told  int
}

func (l *listener) handlers() map[wire.Kind]wire.Handler {
	return map[wire.Kind]wire.Handler{
		"needs": func(context.Context, wire.Incoming) ([]byte, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.told++; l.needs == nil {
				return nil, context.Canceled
			}
			return l.needs.Encode()
		},
		"query": func(_ context.Context, in wire.Incoming) ([]byte, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.heard = append(l.heard, in.Request)
			return []byte(`{"status":"refused"}`), nil
		},
	}
}

func (l *listener) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = nil
}

// fault says what is wrong with all that was sent since forget.
func (l *listener) fault(passport string, sent, named bool) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	message := bytes.Join(l.heard, nil)
	switch {
	case (len(message) > 0) != sent:
		return fmt.Sprintf("%d bytes were sent", len(message))
	case bytes.Contains(message, []byte(passport)) != named:
		return fmt.Sprintf("the passport was sent: %t", !named)
	case bytes.Contains(readable(message), []byte("rosalind")) != named:
		return fmt.Sprintf("the subject was sent: %t", !named)
	}
	return ""
}

func (l *listener) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

// Invariant 20, NoLeak, between real nodes: what an honest node sends to a peer that answers
// anybody holds neither a passport nor a name; to one that takes no such passport nothing is sent; and
// to one of the version before, what that version had been sent.
func TestNoLeakOnTheWire(t *testing.T) {
	broker := func(f *simulate.Federation) string { return f.Plan.IssuerName(simulate.Broker) }
	for name, one := range map[string]struct {
		needs func(*simulate.Federation) *federation.Needs
		sent  bool
		named bool
	}{
		"answers anybody": {func(f *simulate.Federation) *federation.Needs {
			return &federation.Needs{Passports: []string{broker(f)}, VisaIssuers: []string{}}
		}, true, false},
		"takes no such passport": {func(*simulate.Federation) *federation.Needs {
			return &federation.Needs{Closed: true, Passports: []string{}, VisaIssuers: []string{}}
		}, false, false},
		"takes it": {func(f *simulate.Federation) *federation.Needs {
			return &federation.Needs{Closed: true, Passports: []string{broker(f)}, VisaIssuers: []string{}}
		}, true, true},
		"says nothing": {func(*simulate.Federation) *federation.Needs { return nil }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			f, q := startDemo(t)
			l := &listener{needs: one.needs(f)}
			turnInto(t, f, l.handlers())
			q.Passports = []string{passportFor(t, f, "uhn", "uhn", "bcgsc", "chus")}
			var parts map[string]api.Site
			var fault string
			// Until the peer's word has been heard, it is one that says nothing.
			for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
				l.forget()
				parts = ask(t, f, "uhn", q)
				if fault = l.fault(q.Passports[0], one.sent, one.named); fault == "" && l.asked() >= 2 {
					break
				}
			}
			if fault != "" {
				t.Fatalf("%s; bcgsc's part: %+v", fault, parts["bcgsc"])
			}
			if !one.sent && (parts["bcgsc"].Error == nil || parts["bcgsc"].Error.Code != "no_passport") {
				t.Errorf("bcgsc's part: %+v", parts["bcgsc"])
			}
			// The honest third site still serves the caller by his visa.
			if parts["chus"].Status != "ok" {
				t.Errorf("chus: %+v", parts["chus"])
			}
		})
	}
}

// readable decodes every part of a message that is base64url, whatever stands in it.
func readable(message []byte) []byte {
	var all []byte
	for _, part := range bytes.FieldsFunc(message, func(r rune) bool { return r == '.' || r < ' ' }) {
		for skip := range min(4, len(part)) { // a length before it may look like text
			raw := make([]byte, len(part))
			n, _ := base64.RawURLEncoding.Decode(raw, part[skip:])
			all = append(all, raw[:n]...)
		}
	}
	return append(all, message...)
}

// An honest node says to a member what it needs: its grants' issuer, and no dataset by name.
func TestWhatANodeSaysThatItNeeds(t *testing.T) {
	f, _ := startDemo(t)
	c := turn(t, f)
	var node trust.NodeID
	for _, p := range c.mesh.Peers() {
		if p.Site == "chus" {
			node = p.Node
		}
	}
	line, err := c.mesh.Line(node)
	if err != nil {
		t.Fatal(err)
	}
	b, err := line.Call(t.Context(), "needs", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	needs, err := federation.ParseNeeds(b)
	if err != nil {
		t.Fatal(err)
	}
	if !needs.Closed || len(needs.Open) != 0 || !needs.Takes(f.Plan.IssuerName(simulate.Broker)) || len(needs.Visas) == 0 {
		t.Errorf("%s", b)
	}
	conf, err := config.Load(f.Plan.ConfigPath("chus"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range conf.Datasets() {
		if bytes.Contains(b, []byte(d.ID)) || bytes.Contains(b, []byte(d.Value)) {
			t.Errorf("a dataset that is not open is named: %s", b)
		}
	}
}
