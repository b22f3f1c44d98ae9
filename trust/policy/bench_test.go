package policy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/server"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/candignode/candignode/configs"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/policy"
)

// questions are decisions of the usual kinds.
func questions() map[string][]access.Input {
	granted, five := caller(permit()), caller(permit())
	for i := range 10 {
		granted.Visas = append(granted.Visas, visa(trust.VisaControlledAccessGrants, fmt.Sprintf("%s-%d", rarivitis, i)))
	}
	var many []access.Input
	for i := range 5 {
		d := controlled()
		d.ID = fmt.Sprintf("d%d", i)
		many = append(many, ask(five, d))
	}
	return map[string][]access.Input{
		"anonymous":            {ask(trust.Caller{}, controlled())},
		"one of 11 visas":      {ask(granted, controlled())},
		"local grant":          {ask(caller(), controlled(), grant(hour))},
		"five datasets":        many,
		"expired, with reason": {ask(caller(permit(func(v *trust.Visa) { v.Expires = now })), controlled())},
	}
}

func BenchmarkDecide(b *testing.B) {
	p := load(b, configs.Policy())
	for name, inputs := range questions() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Decide(context.Background(), inputs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecideAgainstServer is goal 6 of docs/performance.md: the same policy
// asked of the engine's own server over HTTP on loopback, one question to each in
// turn. It reports the medians and their ratio.
func BenchmarkDecideAgainstServer(b *testing.B) {
	p := load(b, configs.Policy())
	address := startServer(b, configs.Policy())
	for name, inputs := range questions() {
		b.Run(name, func(b *testing.B) {
			body := serverBody(b, p, inputs)
			var here, there []time.Duration
			for b.Loop() {
				began := time.Now()
				if _, err := p.Decide(context.Background(), inputs); err != nil {
					b.Fatal(err)
				}
				here = append(here, time.Since(began))
				// What a node would do: encode, ask, decode.
				began = time.Now()
				askServer(b, address, body)
				there = append(there, time.Since(began))
			}
			ours, theirs := median(here), median(there)
			b.ReportMetric(float64(ours.Nanoseconds()), "here-ns")
			b.ReportMetric(float64(theirs.Nanoseconds()), "server-ns")
			b.ReportMetric(float64(ours)/float64(theirs), "ratio")
		})
	}
}

// BenchmarkGrantsAtTheSite is goal 7: the caller's own grants are handed in, so
// how many others the site holds does not matter.
func BenchmarkGrantsAtTheSite(b *testing.B) {
	p := load(b, configs.Policy())
	site := func(n int) map[trust.Identity][]access.Grant {
		all := make(map[trust.Identity][]access.Grant, n)
		for i := range n - 1 {
			id := trust.Identity{Issuer: ada.Issuer, Subject: fmt.Sprint(i)}
			all[id] = []access.Grant{{ID: fmt.Sprint(i), Identity: id, Dataset: "rarivitis", Until: hour}}
		}
		all[ada] = []access.Grant{grant(hour)}
		return all
	}
	small, large := site(1_000), site(100_000)
	var few, many []time.Duration
	for b.Loop() {
		for _, s := range []struct {
			grants map[trust.Identity][]access.Grant
			took   *[]time.Duration
		}{{small, &few}, {large, &many}} {
			began := time.Now()
			if _, err := p.Decide(context.Background(), []access.Input{ask(caller(), controlled(), s.grants[ada]...)}); err != nil {
				b.Fatal(err)
			}
			*s.took = append(*s.took, time.Since(began))
		}
	}
	b.ReportMetric(float64(median(many))/float64(median(few)), "ratio")
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// bridge gives the server one document that holds what a decision needs.
const bridge = `package bridge

answer := {
	"ceilings": [x | x := data.candig.access.ceilings],
	"missing": [x | x := data.candig.access.missing],
}
`

// startServer runs the engine's server on loopback with the same policy.
func startServer(tb testing.TB, fsys fs.FS) string {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	store := inmem.New()
	manager, err := plugins.New([]byte("{}"), "bench", store)
	if err != nil {
		tb.Fatal(err)
	}
	if err := manager.Start(ctx); err != nil {
		tb.Fatal(err)
	}
	s, err := server.New().WithStore(store).WithManager(manager).Init(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	listener := httptest.NewServer(s.Handler)
	tb.Cleanup(listener.Close)
	address := listener.URL
	put := func(name string, text []byte) {
		request, _ := http.NewRequest(http.MethodPut, address+"/v1/policies/"+name, bytes.NewReader(text))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			tb.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			said, _ := io.ReadAll(response.Body)
			tb.Fatalf("%s: %s %s", name, response.Status, said)
		}
	}
	for _, name := range []string{"access.rego", "controlled.rego", "public.rego", "registered.rego"} {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			tb.Fatal(err)
		}
		put(name, text)
	}
	put("bridge.rego", []byte(bridge))
	return address
}

func serverBody(tb testing.TB, p *policy.Policy, inputs []access.Input) any {
	tb.Helper()
	input, err := p.JSONInput(inputs)
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]any{"input": input}
}

func askServer(tb testing.TB, address string, body any) map[string]any {
	tb.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		tb.Fatal(err)
	}
	response, err := http.Post(address+"/v1/data/bridge/answer", "application/json", bytes.NewReader(encoded))
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	var said struct {
		Result map[string]any `json:"result"`
	}
	if err := json.NewDecoder(response.Body).Decode(&said); err != nil || said.Result == nil {
		tb.Fatalf("%s: %v", response.Status, err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return said.Result
}

// The comparison is fair only if the server gives the same answers.
func TestServerAgrees(t *testing.T) {
	p := load(t, configs.Policy())
	address := startServer(t, configs.Policy())
	for name, inputs := range questions() {
		decisions := decide(t, p, inputs...)
		said := askServer(t, address, serverBody(t, p, inputs))
		ceilings, _ := said["ceilings"].([]any)[0].(map[string]any)
		for i, d := range decisions {
			if _, allowed := ceilings[inputs[i].Dataset.ID]; allowed != d.Allow {
				t.Errorf("%s: allowed here %t, by the server %t", name, d.Allow, allowed)
			}
		}
	}
}
