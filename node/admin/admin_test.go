package admin_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/federation/wire"
	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/members"
	"github.com/candignode/candignode/trust/roots"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// door is the operator's door over a state file of its own.
type door struct {
	t       *testing.T
	handler http.Handler
	store   *store.Store
	loaded  *datasets
}

// datasets is what a site holds, as far as the door is concerned.
type datasets struct {
	registered, removed []string
	err                 error
}

func (d *datasets) List() ([]admin.Dataset, error) {
	return []admin.Dataset{{ID: "cohort", Configured: true}}, d.err
}

func (d *datasets) Register(_ context.Context, file string) (store.Release, error) {
	d.registered = append(d.registered, file)
	return store.Release{Dataset: "cohort", File: file}, d.err
}

func (d *datasets) Remove(_ context.Context, dataset string) error {
	d.removed = append(d.removed, dataset)
	return d.err
}

func newDoor(t *testing.T, live *admin.Live) *door {
	t.Helper()
	state, err := store.Open(filepath.Join(t.TempDir(), "state.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	d := &door{t: t, store: state, loaded: &datasets{}}
	desk := membersOf(t, state)
	d.handler = admin.New(admin.Options{
		Site: admin.Site{Site: "uhn"}, Status: func() admin.Status { return admin.Status{Version: "v"} },
		Store: state, Members: desk, Datasets: d.loaded, Live: live,
		Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler),
	})
	return d
}

// membersOf makes a site that knows bcgsc by its configuration.
func membersOf(t *testing.T, state *store.Store) *members.Desk {
	t.Helper()
	key := func(seed byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)) }
	node, _ := roots.KeyOf(key(1).Public())
	peer, _ := roots.KeyOf(key(2).Public())
	next, _ := key(4).Public().(ed25519.PublicKey)
	own, err := roots.Incept(roots.Record{Name: "uhn", Nodes: []roots.Node{{ID: node.ID(), Key: node, Addrs: []string{"uhn:7946"}}}},
		[]crypto.Signer{key(3)}, []ed25519.PublicKey{next}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	name, value, err := members.FirstState(own, members.Genesis{})
	if err != nil {
		t.Fatal(err)
	}
	if err := state.SaveEvidence(t.Context(), map[string][]byte{name: value}); err != nil {
		t.Fatal(err)
	}
	desk, err := members.New(members.Options{Site: "uhn", Key: key(1), Network: "candig", Store: state, Mesh: unconnected{},
		Pins: []members.Pin{{Name: "bcgsc", Node: peer.ID(), Query: true}}})
	if err != nil {
		t.Fatal(err)
	}
	return desk
}

type unconnected struct{}

func (unconnected) Connected() []trust.NodeID { return nil }
func (unconnected) Call(context.Context, trust.NodeID, []byte) ([]byte, error) {
	return nil, errors.New("not connected")
}
func (unconnected) Join(context.Context, trust.NodeID, []byte) ([]byte, error) {
	return nil, errors.New("not connected")
}

// call gives the status and the body.
func (d *door) call(method, target, body string) (int, string) {
	d.t.Helper()
	var reader io.Reader = http.NoBody
	if body != "" {
		reader = strings.NewReader(body)
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, httptest.NewRequest(method, target, reader))
	return w.Code, w.Body.String()
}

func (d *door) entries() uint64 {
	d.t.Helper()
	head, err := d.store.AuditHead()
	if err != nil {
		d.t.Fatal(err)
	}
	return head.Seq
}

func grant(change string) string {
	g := map[string]any{"iss": "https://idp.example.org/", "sub": "r.franklin", "dataset": "cohort", "until": "2026-04-01T00:00:00Z"}
	if name, value, ok := strings.Cut(change, "="); ok {
		g[name] = value
	}
	text, _ := json.Marshal(g)
	return string(text)
}

// What is malformed is refused by name, changes nothing and is not recorded.
func TestMalformedCommandsAreRefused(t *testing.T) {
	d := newDoor(t, nil)
	for _, c := range []struct {
		method, target, body string
		status               int
		says                 string
	}{
		{"POST", "/v1/grants", "", 400, "bad request"},
		{"POST", "/v1/grants", "{", 400, "bad request"},
		{"POST", "/v1/grants", "[]", 400, "bad request"},
		{"POST", "/v1/grants", grant("more=x"), 400, `unknown field \"more\"`},
		{"POST", "/v1/grants", grant("until=soon"), 400, "soon"},
		{"POST", "/v1/grants", grant("until=2026-03-01T12:00:00Z"), 400, "has passed"},
		{"POST", "/v1/grants", grant("iss="), 400, "issuer and a subject"},
		{"POST", "/v1/grants", grant("sub="), 400, "issuer and a subject"},
		{"POST", "/v1/grants", grant("sub=" + strings.Repeat("s", 1025)), 400, "issuer and a subject"},
		{"POST", "/v1/grants", grant("dataset=no such"), 400, "not a dataset id"},
		{"POST", "/v1/grants", grant("dataset="), 400, "not a dataset id"},
		{"POST", "/v1/grants", grant("sub=" + strings.Repeat("s", 65<<10)), 400, "too large"},
		{"DELETE", "/v1/grants/none", "", 404, "grants list"},
		{"DELETE", "/v1/grants/" + strings.Repeat("x", 500), "", 404, "grants list"},
		{"DELETE", "/v1/grants/", "", 404, ""},
		{"POST", "/v1/datasets", `{"file": 1}`, 400, "bad request"},
		{"POST", "/v1/datasets", `{"path": "x"}`, 400, "unknown field"},
		{"GET", "/v1/audit?from=x", "", 400, "from"},
		{"GET", "/v1/audit?from=-1", "", 400, "from"},
		{"GET", "/v1/audit?limit=0", "", 400, "limit"},
		{"GET", "/v1/audit?limit=many", "", 400, "limit"},
		{"GET", "/v1/audit/verify?seq=1", "", 400, "hash"},
		{"GET", "/v1/audit/verify?seq=x&hash=y", "", 400, "seq"},
		{"GET", "/v1/nothing", "", 404, ""},
		{"PUT", "/v1/grants", "", 405, ""},
		{"GET", "/metrics", "", 404, ""},
	} {
		status, body := d.call(c.method, c.target, c.body)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %.60s %.60s: %d %.200s", c.method, c.target, c.body, status, body)
		}
	}
	if n := d.entries(); n != 0 || len(d.loaded.registered) != 0 {
		t.Errorf("%d entries, registered %q", n, d.loaded.registered)
	}
}

func TestAGrantIsAddedListedAndRevokedWithItsRecords(t *testing.T) {
	d := newDoor(t, nil)
	status, body := d.call("POST", "/v1/grants", grant(""))
	var g access.Grant
	if err := json.Unmarshal([]byte(body), &g); status != 200 || err != nil {
		t.Fatal(status, body, err)
	}
	// An id that began with '-' would read as a flag of 'grants revoke'.
	if !regexp.MustCompile(`^[0-9a-f]{24}$`).MatchString(g.ID) || !g.Created.Equal(noon) {
		t.Errorf("grant %+v", g)
	}
	if held := d.store.Grants(g.Identity); len(held) != 1 || held[0].ID != g.ID {
		t.Errorf("the next question would see %+v", held)
	}
	if _, list := d.call("GET", "/v1/grants", ""); !strings.Contains(list, g.ID) {
		t.Errorf("the list: %s", list)
	}
	if status, body := d.call("DELETE", "/v1/grants/"+g.ID, ""); status != 200 || !strings.Contains(body, "r.franklin") {
		t.Errorf("revoking: %d %s", status, body)
	}
	if held := d.store.Grants(g.Identity); len(held) != 0 {
		t.Errorf("after the revocation: %+v", held)
	}
	if status, _ := d.call("DELETE", "/v1/grants/"+g.ID, ""); status != 404 {
		t.Errorf("revoking it twice: %d", status)
	}
	var said []string
	err := admin.Inside(d.handler).Audit(t.Context(), nil, func(line admin.AuditLine) error {
		var r audit.Record
		err := json.Unmarshal(line.Record, &r)
		said = append(said, fmt.Sprint(r.Event, " ", r.Outcome, " ", r.Caller.Subject, " ", r.Dataset, " ", r.Grants[0] == g.ID))
		return err
	})
	if err != nil || strings.Join(said, "; ") != "grant added r.franklin cohort true; grant revoked r.franklin cohort true" {
		t.Errorf("the record says %q, %v", said, err)
	}
}

// Without a daemon the door says so for what only a daemon knows, and does the
// rest.
func TestTheDoorWithoutADaemon(t *testing.T) {
	d := newDoor(t, nil)
	for _, c := range []struct{ method, target string }{
		{"GET", "/v1/issuers"}, {"GET", "/v1/issuers/explain?issuer=x"},
		{"POST", "/v1/issuers/refresh"}, {"POST", "/v1/reload"},
	} {
		if status, body := d.call(c.method, c.target, ""); status != 503 || !strings.Contains(body, "candignode run") {
			t.Errorf("%s: %d %s", c.target, status, body)
		}
	}
	for _, target := range []string{"/v1/status", "/v1/sites", "/v1/site", "/v1/datasets", "/v1/grants", "/v1/audit", "/v1/audit/verify"} {
		if status, body := d.call("GET", target, ""); status != 200 {
			t.Errorf("%s: %d %s", target, status, body)
		}
	}
	if status, _ := d.call("DELETE", "/v1/datasets/cohort", ""); status != 204 || len(d.loaded.removed) != 1 {
		t.Errorf("removing: %d %q", status, d.loaded.removed)
	}
}

func TestTheDoorOfADaemon(t *testing.T) {
	var reloads int
	refuse := errors.New("line 3: unknown key; the running configuration is kept")
	d := newDoor(t, &admin.Live{
		Sites: func() []wire.PeerState { return []wire.PeerState{{Site: "bcgsc"}} },
		Reload: func(context.Context) error {
			if reloads++; reloads == 1 {
				return refuse
			}
			return nil
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "candignode_up 1") }),
	})
	if status, body := d.call("GET", "/v1/sites", ""); status != 200 || !strings.Contains(body, "bcgsc") {
		t.Errorf("sites: %d %s", status, body)
	}
	if status, body := d.call("POST", "/v1/reload", ""); status != 400 || !strings.Contains(body, "line 3") {
		t.Errorf("a refused reload: %d %s", status, body)
	}
	if status, _ := d.call("POST", "/v1/reload", ""); status != 204 {
		t.Errorf("a reload: %d", status)
	}
	if status, body := d.call("GET", "/metrics", ""); status != 200 || body != "candignode_up 1" {
		t.Errorf("metrics: %d %s", status, body)
	}
}

// The same command over a socket and inside the process gives the same result
// and the same error.
func TestACommandDoesOneThingWhicheverWayItGetsThere(t *testing.T) {
	d := newDoor(t, nil)
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: d.handler}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	for name, client := range map[string]*admin.Client{"socket": admin.Dial(path), "inside": admin.Inside(d.handler)} {
		if client.Running != (name == "socket") {
			t.Errorf("%s: running is %v", name, client.Running)
		}
		var status admin.Status
		if err := client.Get(t.Context(), "/v1/status", nil, &status); err != nil || status.Version != "v" {
			t.Errorf("%s: %+v %v", name, status, err)
		}
		g := access.Grant{Identity: trust.Identity{Issuer: "https://i", Subject: name}, Dataset: "cohort", Until: noon.Add(time.Hour)}
		if err := client.Post(t.Context(), "/v1/grants", g, &g); err != nil || g.ID == "" {
			t.Errorf("%s: %+v %v", name, g, err)
		}
		var refusal *admin.Refusal
		if err := client.Delete(t.Context(), "/v1/grants/none", nil); !errors.As(err, &refusal) || refusal.Status != 404 {
			t.Errorf("%s: %v", name, err)
		}
		var head audit.Head
		if err := client.Get(t.Context(), "/v1/audit/verify", nil, &head); err != nil || head.Seq == 0 {
			t.Errorf("%s: %+v %v", name, head, err)
		}
		noted := url.Values{"seq": {fmt.Sprint(head.Seq)}, "hash": {trust.DigestOf([]byte("another log")).String()}}
		if err := client.Get(t.Context(), "/v1/audit/verify", noted, nil); err == nil {
			t.Errorf("%s: a head of another log was taken", name)
		}
	}
}

func TestTheAuditLogIsListedInParts(t *testing.T) {
	d := newDoor(t, nil)
	for range 5 {
		if err := d.store.Record(t.Context(), audit.Record{Time: noon, Event: audit.EventNode, Outcome: "started"}); err != nil {
			t.Fatal(err)
		}
	}
	client := admin.Inside(d.handler)
	for query, want := range map[string]string{"": "[1 2 3 4 5]", "from=4": "[4 5]", "limit=2": "[1 2]", "from=2&limit=3": "[2 3 4]", "from=6": "[]", "from=0": "[1 2 3 4 5]"} {
		values, _ := url.ParseQuery(query)
		got := []uint64{}
		if err := client.Audit(t.Context(), values, func(l admin.AuditLine) error { got = append(got, l.Seq); return nil }); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v", query, got, err)
		}
	}
	stop := errors.New("stop")
	if err := client.Audit(t.Context(), nil, func(admin.AuditLine) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a reader that stops: %v", err)
	}
}

// A listing that breaks off does not look like a short log.
func TestAListingThatBreaksOffSaysSo(t *testing.T) {
	d := newDoor(t, nil)
	for range 3 {
		if err := d.store.Record(t.Context(), audit.Record{Time: noon, Event: audit.EventNode, Outcome: "started"}); err != nil {
			t.Fatal(err)
		}
	}
	d.store.Close()
	err := admin.Inside(d.handler).Audit(t.Context(), nil, func(admin.AuditLine) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "reading the audit log") {
		t.Errorf("the reader was told %v", err)
	}
}
