package vectors_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/source/variants"
	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust/audit"
)

// What one request may take at the door, however bad it is: computing time, so that a busy
// machine makes no difference. What the node does besides is given some tries.
const (
	maxTook     = 250 * time.Millisecond
	timesNormal = 50
	tries       = 5
	// leastNormal keeps a fast machine from making the bound too tight for the writing
	// of a record.
	leastNormal = 5 * time.Millisecond
	// maxAllocated is for a request without its body, which is read, decoded and
	// hashed a few times.
	maxAllocated     = 16 << 20
	allocatedPerByte = 24
	maxBody          = 1 << 20
)

// edge is a running node of the pinned configuration, and everything around it that
// would notice what it must not do.
type edge struct {
	t         *testing.T
	dir       string
	url       string
	log       lockedBuffer
	client    *http.Client
	attacker  atomic.Int64 // connections to addresses that tokens name
	mu        sync.Mutex
	names     []string // that the node looked up
	started   atomic.Bool
	normal    time.Duration
	slowest   time.Duration
	slowestID string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newEdge(t *testing.T, c configuration) *edge {
	t.Helper()
	dir, err := os.MkdirTemp("", "cnv") // short: unix socket paths are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e := &edge{t: t, dir: dir, client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{ExpectContinueTimeout: 10 * time.Second}}}
	t.Cleanup(e.client.CloseIdleConnections)
	e.watch()
	e.configure(c)
	e.data()
	e.run()
	return e
}

// watch listens where the tokens point, and takes the place of name servers.
func (e *edge) watch() {
	listener, err := net.Listen("tcp", strings.TrimPrefix(attackerHost, "https://"))
	if err != nil {
		e.t.Logf("nobody listens at %s: %v", attackerHost, err)
	} else {
		e.t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				e.attacker.Add(1)
				conn.Close()
			}
		}()
	}
	real := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nameless{e: e}, nil }}
	e.t.Cleanup(func() { net.DefaultResolver = real })
}

// nameless is a name server that notes what it is asked, and never answers.
type nameless struct {
	net.Conn // nil
	e        *edge
}

// Write takes a question over TCP (RFC 1035, section 4.2.2): two bytes of length, a
// header of twelve, the labels of the name.
func (n nameless) Write(p []byte) (int, error) {
	var labels []string
	for i := 14; i < len(p) && p[i] != 0 && i+1+int(p[i]) <= len(p); i += 1 + int(p[i]) {
		labels = append(labels, string(p[i+1:i+1+int(p[i])]))
	}
	n.e.mu.Lock()
	defer n.e.mu.Unlock()
	n.e.names = append(n.e.names, strings.Join(labels, "."))
	return len(p), nil
}

func (nameless) Read([]byte) (int, error)    { return 0, io.ErrUnexpectedEOF }
func (nameless) Close() error                { return nil }
func (nameless) SetDeadline(time.Time) error { return nil }

// configure writes candignode.yaml, which is JSON, and the files it names.
func (e *edge) configure(c configuration) {
	e.t.Helper()
	var issuers []obj
	for n, i := range c.Issuers {
		name := fmt.Sprintf("keys-%d.json", n)
		e.file(name, i.JWKS)
		one := obj{"issuer": i.Issuer, "kinds": i.Kinds, "mode": i.Mode, "jwks_file": filepath.Join(e.dir, name)}
		for key, list := range map[string][]string{"jku": i.JKU, "visa_types": i.VisaTypes, "sources": i.Sources, "value_prefixes": i.ValuePrefixes, "client_ids": i.ClientIDs, "links_for": i.LinksFor} {
			if len(list) > 0 {
				one[key] = list
			}
		}
		for key, set := range map[string]bool{"require_aud": i.RequireAud, "allow_missing_kid": i.AllowMissingKID, "waive_key_use": i.WaiveKeyUse, "access_token_visas": i.AccessTokenVisas} {
			if set {
				one[key] = true
			}
		}
		if i.MaxAssertedAge > 0 {
			one["max_asserted_age"] = fmt.Sprintf("%ds", i.MaxAssertedAge)
		}
		if i.Tokens != "" {
			one["tokens"], one["endpoints"] = i.Tokens, obj{"userinfo": i.UserInfo}
		}
		if i.AccessTokenVisas {
			one["endpoints"] = obj{"userinfo": attackerHost + "/userinfo"} // a private address: it is never asked
		}
		if len(i.ClaimEndpoints) > 0 {
			one["claims"] = obj{"endpoints": i.ClaimEndpoints, "names": i.ClaimNames}
		}
		issuers = append(issuers, one)
	}
	text := obj{
		"site": obj{"name": "uhn"}, "data_dir": e.dir, "federation": obj{"listen": "127.0.0.1:0"},
		"api": obj{"listen": "127.0.0.1:0", "external_url": nodeURL}, "privacy": obj{"threshold": 1}, "issuers": issuers,
		"datasets": []obj{{"id": "cohort", "access": "controlled", "value": dataset, "issuers": []string{dacURL}, "sources": []string{dacURL}}},
	}.text()
	e.file("candignode.yaml", []byte(text))
	if _, err := config.CreateNodeKey(filepath.Join(e.dir, "node.key")); err != nil {
		e.t.Fatal(err)
	}
}

func (e *edge) file(name string, data []byte) {
	e.t.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, name), data, 0o600); err != nil {
		e.t.Fatal(err)
	}
}

func (e *edge) config() *config.Config {
	e.t.Helper()
	c, err := config.Load(filepath.Join(e.dir, "candignode.yaml"))
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

// data makes a dataset in which one person carries 22:100 A>G.
func (e *edge) data() {
	e.t.Helper()
	e.file("cohort.vcf", []byte("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tP1\n22\t100\t.\tA\tG\t.\tPASS\t.\tGT\t0|1\n"))
	c := e.config()
	done, err := variants.Import(e.t.Context(), variants.ImportOptions{
		Dataset: "cohort", Assembly: query.GRCh37, Files: []string{filepath.Join(e.dir, "cohort.vcf")}, Dir: node.ReleasesDir(c), Now: at,
	})
	if err != nil {
		e.t.Fatal(err)
	}
	if err := simulate.CreateState(e.t.Context(), c); err != nil {
		e.t.Fatal(err)
	}
	state, err := store.Open(node.StatePath(c), store.Options{Now: func() time.Time { return at.Add(-time.Hour) }})
	if err != nil {
		e.t.Fatal(err)
	}
	defer state.Close()
	if err := state.PutRelease(e.t.Context(), store.Release{Dataset: "cohort", Release: done.Release, File: filepath.Base(done.File)},
		audit.Record{Time: at.Add(-time.Hour), Event: audit.EventDataset, Outcome: "imported"}); err != nil {
		e.t.Fatal(err)
	}
}

// run starts the node an hour before the vectors' time, so that it remembers all
// proofs that could be new.
func (e *edge) run() {
	e.t.Helper()
	c := e.config()
	sockets, err := node.Listen(e.t.Context(), c)
	if err != nil {
		e.t.Fatal(err)
	}
	n, err := node.New(e.t.Context(), node.Options{
		Config: c, Sockets: sockets, Log: slog.New(slog.NewJSONHandler(&e.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: func() time.Time {
			if e.started.Load() {
				return at
			}
			return at.Add(-time.Hour)
		},
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.url = "http://" + sockets.API.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	e.t.Cleanup(func() {
		e.client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			e.t.Errorf("the node stopped with %v", err)
		}
	})
	e.started.Store(true)
}

// beginning is how the tokens of the corpus begin: eyJ alone stands in many a digest.
const beginning = "eyJhbGciOi"

// answer is what came back, as far as it matters.
type answer struct {
	status int
	reason string
	body   []byte
	took   time.Duration
	alloc  uint64
}

func (e *edge) send(in httpIn) (answer, error) {
	body := in.Body.expand()
	req, err := http.NewRequestWithContext(e.t.Context(), in.Method, e.url+in.Path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for _, h := range in.Headers {
		req.Header[h[0]] = append(req.Header[h[0]], h[1])
	}
	if len(body) > maxBody {
		req.Header.Set("Expect", "100-continue") // the refusal comes before the body goes
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := computed()
	resp, err := e.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	a.body, err = io.ReadAll(resp.Body)
	a.took = computed() - begin
	runtime.ReadMemStats(&after)
	a.alloc = after.TotalAlloc - before.TotalAlloc
	a.reason = reasonIn(a.body)
	return a, err
}

// reasonIn finds the reason code of problem details, or of a Beacon error.
func reasonIn(body []byte) string {
	var problem struct {
		Reason string `json:"reason"`
		Error  struct {
			Reason string `json:"reason"`
		} `json:"error"`
		Info struct {
			Reason string `json:"reason"`
		} `json:"info"`
	}
	if json.Unmarshal(body, &problem) != nil {
		return ""
	}
	return problem.Reason + problem.Error.Reason + problem.Info.Reason
}

// ask sends a request until it was fast enough, and holds its cost against the bounds.
func (e *edge) ask(v *vector, in httpIn) answer {
	e.t.Helper()
	var best answer
	for try := range tries {
		a, err := e.send(in)
		if err != nil {
			e.t.Errorf("%s %s: %v", v.ID, v.Title, err)
			return a
		}
		if try == 0 {
			best = a
		}
		best.took, best.alloc = min(best.took, a.took), min(best.alloc, a.alloc)
		if v.Kind == kindProof || best.took < maxTook/2 && best.alloc < maxAllocated/2 {
			break
		}
	}
	// A good proof is used up at the first try, so a proof has one try only.
	if v.Kind != kindProof && (best.took > maxTook || best.took > timesNormal*e.normal) {
		e.t.Errorf("%s %s took %v; an ordinary question takes %v", v.ID, v.Title, best.took, e.normal)
	}
	if limit := uint64(maxAllocated + allocatedPerByte*min(len(in.Body.expand()), maxBody)); best.alloc > limit {
		e.t.Errorf("%s %s allocated %d bytes, at most %d", v.ID, v.Title, best.alloc, limit)
	}
	if best.took > e.slowest {
		e.slowest, e.slowestID = best.took, v.ID
	}
	if len(best.body) > 0 && bytes.Contains(best.body, []byte(beginning)) {
		e.t.Errorf("%s %s: the answer repeats a token: %.300s", v.ID, v.Title, best.body)
	}
	return best
}

func posted(path string, body text, headers ...[2]string) httpIn {
	return httpIn{Method: "POST", Path: path, Headers: append([][2]string{{"Content-Type", "application/json"}}, headers...), Body: body}
}

// around puts the passports into a body without expanding them more than once.
func around(before string, passports []text, after string) text {
	t := text{[]part{{before, 1}}}
	for i, p := range passports {
		quoted := string(must(marshal(p.expand())))
		if i > 0 {
			quoted = "," + quoted
		}
		t.parts = append(t.parts, part{quoted, 1})
	}
	t.parts = append(t.parts, part{after, 1})
	return t
}

const variantQuestion = `"query":{"requestedGranularity":"boolean","requestParameters":{"assemblyId":"GRCh37","referenceName":"22","start":[99],"referenceBases":"A","alternateBases":"G"}}`

// onEdge shows the passports at both doors: whoami says what was made of each visa, and
// a controlled dataset opens for an accepted grant and for nothing else.
func (e *edge) onEdge(v *vector) {
	e.t.Helper()
	said := e.ask(v, posted("/v1/whoami", around(`{"passports":[`, v.Request.Passports, `]}`)))
	body := around(`{"passports":[`, v.Request.Passports, `],`+variantQuestion+`}`)
	asked := e.ask(v, posted("/beacon/g_variants", body))
	status, reason := v.Expect.Status, v.Expect.Reason
	if len(body.expand()) > maxBody {
		status, reason = http.StatusRequestEntityTooLarge, ""
	}
	if said.status != status || said.reason != reason || asked.status != status || asked.reason != reason {
		e.t.Errorf("%s %s: whoami %d %q, question %d %q; want %d %q: %.300s", v.ID, v.Title, said.status, said.reason, asked.status, asked.reason, status, reason, said.body)
		return
	}
	if status != http.StatusOK {
		return
	}
	var who api.Whoami
	if err := json.Unmarshal(said.body, &who); err != nil {
		e.t.Errorf("%s: %v", v.ID, err)
		return
	}
	v.holdWhoami(e.t, who)
	var beacon struct {
		Summary struct {
			Exists bool `json:"exists"`
		} `json:"responseSummary"`
	}
	if err := json.Unmarshal(asked.body, &beacon); err != nil {
		e.t.Errorf("%s: %v", v.ID, err)
	}
	granted := slices.ContainsFunc(who.Visas, func(visa api.Visa) bool {
		return visa.Accepted && visa.Type == "ControlledAccessGrants" && visa.Issuer == dacURL && visa.Source == dacURL && visa.Value == dataset && visa.By == "dac"
	})
	if beacon.Summary.Exists != granted {
		e.t.Errorf("%s %s: the dataset opened: %v; a grant was accepted: %v", v.ID, v.Title, beacon.Summary.Exists, granted)
	}
}

func (v *vector) holdWhoami(t *testing.T, who api.Whoami) {
	t.Helper()
	if v.Expect.Visas != nil && len(who.Visas) != len(v.Expect.Visas) {
		t.Errorf("%s %s: %d visas", v.ID, v.Title, len(who.Visas))
		return
	}
	for i, want := range v.Expect.Visas {
		if got := who.Visas[i]; got.Accepted != want.Accepted || got.Reason != want.Reason {
			t.Errorf("%s %s: visa %d is %v %q at the door", v.ID, v.Title, i, got.Accepted, got.Reason)
		}
	}
	if v.Expect.Caller != nil && (who.Caller.Issuer != v.Expect.Caller.Issuer || who.Caller.Subject != v.Expect.Caller.Subject) {
		t.Errorf("%s: the caller is %+v at the door", v.ID, who.Caller)
	}
	if v.Expect.Until != 0 && (who.Until == nil || who.Until.Unix() != v.Expect.Until) {
		t.Errorf("%s: until %v at the door", v.ID, who.Until)
	}
}

// requestOf gives the HTTP request of a vector that is not about passports; false if it has none.
func requestOf(v *vector) (httpIn, bool) {
	switch v.Kind {
	case kindHTTP:
		return *v.Request.HTTP, true
	case kindToken:
		compact := v.Request.Token.Compact.expand()
		return posted("/v1/whoami", plain("{}"), [2]string{"Authorization", "Bearer " + compact}), v.Expect.Status != 0 && len(compact) < 4000
	case kindProof:
		in := v.Request.Proof
		headers := [][2]string{{"Authorization", "DPoP " + in.AccessToken}}
		for _, value := range in.DPoP {
			headers = append(headers, [2]string{"Dpop", value})
		}
		return posted("/v1/whoami", plain("{}"), headers...), true
	}
	return httpIn{}, false
}

func withToken(in httpIn) bool {
	return slices.ContainsFunc(in.Headers, func(h [2]string) bool { return h[0] == "Authorization" })
}

// Rows 1 to 63, 71, 91 to 110, 137 and 138 at the door of a running node: the status,
// the reason, no panic, no connection anywhere, and no more time and memory than a bad
// request is worth (row 106).
func TestVectorsAtTheDoor(t *testing.T) {
	if testing.Short() {
		t.Skip("a whole node is started, and all vectors are shown to it twice: not with -short")
	}
	files, configurations := corpus(t)
	e := newEdge(t, configurations["pinned"])
	e.measure(files)
	for _, v := range all(files, kindPassports) {
		if v.Configuration == "pinned" && v.Request.Origin == "" && v.Request.Proven == nil {
			e.onEdge(&v)
		}
	}
	for _, v := range all(files, kindToken, kindProof, kindHTTP) {
		in, ok := requestOf(&v)
		if !ok {
			continue
		}
		if v.Kind == kindProof && v.Request.Proof.Again {
			e.send(in) // the first use
		}
		a := e.ask(&v, in)
		reason, status := v.Expect.Reason, v.Expect.Status
		switch {
		case v.Kind == kindProof && v.Expect.Outcome == accept && status == http.StatusUnauthorized:
			reason = "not_proven" // the proof holds, and the token is not bound to its key
		case v.Expect.Outcome == accept && withToken(in):
			// The token holds, so its issuer is asked for the visas, whom nobody can reach.
			reason, status = "provider", http.StatusServiceUnavailable
		case v.Kind == kindProof && v.Request.Proof.Again:
			continue // a proof is used up only by a request that is answered
		}
		if a.status != status || a.reason != reason {
			t.Errorf("%s %s: %d %q, want %d %q: %.300s", v.ID, v.Title, a.status, a.reason, status, reason, a.body)
		}
	}
	e.quiet()
	t.Logf("an ordinary question takes %v, the slowest was %s with %v", e.normal, e.slowestID, e.slowest)
}

// measure finds out what an ordinary question takes, of a passport that is not
// remembered.
func (e *edge) measure(files map[string]file) {
	e.t.Helper()
	var took []time.Duration
	for _, v := range all(files, kindPassports) {
		if v.Configuration != "pinned" || v.Expect.Outcome != accept || len(v.Expect.Visas) != 1 {
			continue
		}
		a, err := e.send(posted("/beacon/g_variants", around(`{"passports":[`, v.Request.Passports, `],`+variantQuestion+`}`)))
		if err != nil {
			e.t.Fatal(err)
		}
		if took = append(took, a.took); len(took) == 21 {
			break
		}
	}
	slices.Sort(took)
	e.normal = max(took[len(took)/2], leastNormal)
}

// quiet holds what the node did besides answering: nothing went out, nothing went
// wrong, and no token lies in the log or on the disk (row 64).
func (e *edge) quiet() {
	e.t.Helper()
	if n := e.attacker.Load(); n > 0 {
		e.t.Errorf("%d connections to addresses that tokens name", n)
	}
	for _, name := range e.names {
		// Those that the operator says may be asked: for visas, and to confirm one.
		if name != strings.TrimPrefix(opURL, "https://") && name != strings.TrimPrefix(oldURL, "https://") {
			e.t.Errorf("the node looked for %q", name)
		}
	}
	if len(e.names) == 0 {
		e.t.Error("not even the provider of the good tokens was looked for: the test watches the wrong resolver")
	}
	text := e.log.text()
	for line := range strings.SplitSeq(text, "\n") {
		unreachable := strings.Contains(line, "UserInfo of "+opURL)
		if strings.Contains(line, beginning) || strings.Contains(line, "panic") || strings.Contains(line, `"level":"ERROR"`) && !unreachable {
			e.t.Errorf("the log says %.500s", line)
		}
	}
	if !strings.Contains(text, `"msg":"request"`) {
		e.t.Error("the log is empty: the test looks in the wrong place")
	}
	state, err := os.ReadFile(filepath.Join(e.dir, "state.db"))
	if err != nil {
		e.t.Fatal(err)
	}
	if bytes.Contains(state, []byte(beginning)) {
		e.t.Error("a token lies in the state file")
	}
}
