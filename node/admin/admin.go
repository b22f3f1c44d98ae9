// Package admin is the operator's door: HTTP and JSON on a unix socket of mode
// 0660, never on the network. Whoever can open the socket is the operator; there is
// no other authentication.
//
// The same handler serves the daemon and, when no daemon runs, the command line in
// its own process over the state file, so that an operator's command does one
// thing whichever way it gets there.
package admin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/candignode/candignode/federation/wire"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/issuers"
	"github.com/candignode/candignode/trust/members"
	"github.com/candignode/candignode/trust/roots"
)

// Site is who this site is.
type Site struct {
	Site        trust.SiteName `json:"site"`
	DisplayName string         `json:"display_name"`
	Node        trust.NodeID   `json:"node"`
	Network     string         `json:"network"`
	Advertise   string         `json:"advertise"`
	Config      string         `json:"config"`
	SiteID      trust.SiteID   `json:"site_id"`
	NetworkID   string         `json:"network_id"`
}

// Status is how the daemon is.
type Status struct {
	Site
	Version        string     `json:"version"`
	Running        bool       `json:"running"`
	Started        time.Time  `json:"started,omitzero"`
	Ready          bool       `json:"ready"`
	PeersConnected int        `json:"peers_connected"`
	Peers          int        `json:"peers"`
	Datasets       int        `json:"datasets"`
	Audit          audit.Head `json:"audit"`
	Policy         string     `json:"policy"`
	TrustRevision  uint64     `json:"trust_revision"`
}

// Dataset is one dataset as configured and as loaded; either half may be
// missing.
type Dataset struct {
	ID         string         `json:"id"`
	Access     access.Level   `json:"access,omitempty"` // "": not in the configuration, so nobody may ask
	Configured bool           `json:"configured"`
	Loaded     bool           `json:"loaded"`
	Release    *store.Release `json:"release,omitempty"`
}

// Live is what only a running daemon can tell.
type Live struct {
	Sites   func() []wire.PeerState
	Issuers *issuers.Desk
	Reload  func(context.Context) error
	Metrics http.Handler
}

// Datasets changes what is loaded. Register takes a release file that lies
// complete in the site's release directory.
type Datasets interface {
	List() ([]Dataset, error)
	Register(ctx context.Context, file string) (store.Release, error)
	Remove(ctx context.Context, dataset string) error
}

// Options is what New needs. Live is nil when no daemon runs.
type Options struct {
	Site     Site
	Status   func() Status
	Store    *store.Store
	Members  *members.Desk
	Datasets Datasets
	Live     *Live
	Now      func() time.Time
	Log      *slog.Logger
}

// ErrNotRunning is what a command gets that needs the daemon when none runs.
var ErrNotRunning = errors.New("the daemon is not running; start it with 'candignode run' and try again")

// ErrBadRequest is wrapped by errors about what the operator sent.
var ErrBadRequest = errors.New("bad request")

type door struct{ Options }

// New gives the handler.
func New(o Options) http.Handler {
	d := door{o}
	mux := http.NewServeMux()
	route := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			if err := h(w, r); err != nil {
				d.fail(w, r, err)
			}
		})
	}
	route("GET /v1/status", d.status)
	d.membership(route)
	route("GET /v1/issuers", d.issuers)
	route("GET /v1/issuers/explain", d.explain)
	route("POST /v1/issuers/refresh", d.refresh)
	route("POST /v1/issuers/distrust", d.distrust)
	route("POST /v1/issuers/undistrust", d.undistrust)
	route("POST /v1/issuers/approve", d.approveKeys)
	route("GET /v1/issuers/acknowledgements", d.acknowledgements)
	route("GET /v1/datasets", d.datasets)
	route("POST /v1/datasets", d.register)
	route("DELETE /v1/datasets/{id}", d.remove)
	route("GET /v1/grants", d.grants)
	route("POST /v1/grants", d.addGrant)
	route("DELETE /v1/grants/{id}", d.revokeGrant)
	d.withdrawals(route)
	route("GET /v1/audit", d.audit)
	route("GET /v1/audit/verify", d.verify)
	route("POST /v1/reload", d.reload)
	if o.Live != nil && o.Live.Metrics != nil {
		mux.Handle("GET /metrics", o.Live.Metrics)
	}
	return mux
}

func encode(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %v", ErrBadRequest, err)
	}
	return nil
}

// problem is RFC 9457 problem details.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func (d door) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrBadRequest), errors.Is(err, query.ErrRequest), errors.Is(err, members.ErrInvite),
		errors.Is(err, issuers.ErrTombstone), errors.Is(err, issuers.ErrNothingHeld), errors.Is(err, members.ErrNetwork), errors.Is(err, members.ErrOtherNode), errors.Is(err, roots.ErrRecord):
		status = http.StatusBadRequest
	case errors.Is(err, store.ErrNotFound), errors.Is(err, issuers.ErrNotConfigured), errors.Is(err, members.ErrUnknownSite):
		status = http.StatusNotFound
	case errors.Is(err, ErrNotRunning), errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrFull):
		status = http.StatusServiceUnavailable
	}
	d.Log.Warn("operator command failed", "method", r.Method, "path", r.URL.Path, "error", err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(problem{Title: http.StatusText(status), Status: status, Detail: err.Error()})
}

func (d door) status(w http.ResponseWriter, _ *http.Request) error { return encode(w, d.Status()) }

func (d door) issuers(w http.ResponseWriter, _ *http.Request) error {
	if d.Live == nil {
		return ErrNotRunning
	}
	return encode(w, d.Live.Issuers.List())
}

func (d door) explain(w http.ResponseWriter, r *http.Request) error {
	if d.Live == nil {
		return ErrNotRunning
	}
	explanation, err := d.Live.Issuers.Explain(r.URL.Query().Get("issuer"))
	if err != nil {
		return err
	}
	return encode(w, explanation)
}

func (d door) refresh(w http.ResponseWriter, r *http.Request) error {
	if d.Live == nil {
		return ErrNotRunning
	}
	changed := d.Live.Issuers.Refresh(r.Context(), r.URL.Query().Get("issuer"))
	return encode(w, map[string]bool{"changed": changed})
}

func (d door) datasets(w http.ResponseWriter, _ *http.Request) error {
	list, err := d.Datasets.List()
	if err != nil {
		return err
	}
	return encode(w, list)
}

// Registration names a release file in the site's release directory.
type Registration struct {
	File string `json:"file"` // a base name
}

func (d door) register(w http.ResponseWriter, r *http.Request) error {
	var in Registration
	if err := decode(r, &in); err != nil {
		return err
	}
	release, err := d.Datasets.Register(r.Context(), in.File)
	if err != nil {
		return err
	}
	return encode(w, release)
}

func (d door) remove(w http.ResponseWriter, r *http.Request) error {
	if err := d.Datasets.Remove(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d door) reload(w http.ResponseWriter, r *http.Request) error {
	if d.Live == nil || d.Live.Reload == nil {
		return ErrNotRunning
	}
	if err := d.Live.Reload(r.Context()); err != nil {
		return fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d door) grants(w http.ResponseWriter, r *http.Request) error {
	list, err := d.Store.AllGrants(r.Context())
	if err != nil {
		return err
	}
	return encode(w, list)
}

func (d door) addGrant(w http.ResponseWriter, r *http.Request) error {
	var g access.Grant
	if err := decode(r, &g); err != nil {
		return err
	}
	if err := query.ValidDatasetID(g.Dataset); err != nil {
		return err
	}
	now := d.Now()
	switch {
	case g.Issuer == "" || g.Subject == "" || len(g.Issuer) > maxName || len(g.Subject) > maxName:
		return fmt.Errorf("%w: a grant names an issuer and a subject, each of 1 to %d bytes", ErrBadRequest, maxName)
	case !g.Until.After(now):
		return fmt.Errorf("%w: a grant ends in the future; %s has passed", ErrBadRequest, g.Until.Format(time.RFC3339))
	}
	var id [12]byte
	rand.Read(id[:])
	// Hexadecimal, so that no id begins with '-' and reads as a flag when it is
	// given back to 'grants revoke'.
	g.ID, g.Created = hex.EncodeToString(id[:]), now.UTC()
	if err := d.Store.AddGrant(r.Context(), g, d.grantRecord(g, "added")); err != nil {
		return err
	}
	return encode(w, g)
}

func (d door) revokeGrant(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	list, err := d.Store.AllGrants(r.Context())
	if err != nil {
		return err
	}
	for _, g := range list {
		if g.ID == id {
			if g, err = d.Store.RevokeGrant(r.Context(), id, d.grantRecord(g, "revoked")); err != nil {
				return err
			}
			return encode(w, g)
		}
	}
	return fmt.Errorf("%w: no grant has the id %.40q; 'candignode grants list' shows them", store.ErrNotFound, id)
}

func (d door) grantRecord(g access.Grant, outcome string) audit.Record {
	return audit.Record{
		Time: d.Now(), Event: audit.EventGrant, Caller: g.Identity, Dataset: g.Dataset,
		Grants: []string{g.ID}, Outcome: outcome, Detail: "until " + g.Until.UTC().Format(time.RFC3339),
	}
}

// AuditLine is one entry as the door gives it: the place in the chain beside the
// exact bytes that were hashed.
type AuditLine struct {
	Seq    uint64          `json:"seq"`
	Hash   trust.Digest    `json:"hash"`
	Record json.RawMessage `json:"record"`
	// Problem is set on a last line that is no entry: why the listing ends early.
	Problem string `json:"problem,omitempty"`
}

var errEnough = errors.New("enough")

func (d door) audit(w http.ResponseWriter, r *http.Request) error {
	from, limit, err := auditRange(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	err = d.Store.AuditEntries(r.Context(), from, func(e audit.Entry) error {
		if limit--; limit < 0 {
			return errEnough
		}
		return out.Encode(AuditLine{Seq: e.Seq, Hash: e.Hash, Record: e.Body})
	})
	if err == nil || errors.Is(err, errEnough) {
		return nil
	}
	// Lines may have left already, and with them the status: the reason is the
	// last line.
	d.Log.Warn("the audit log could not be read to its end", "error", err)
	return out.Encode(AuditLine{Problem: err.Error()})
}

func auditRange(r *http.Request) (from uint64, limit int, err error) {
	from, limit = 1, maxAuditLines
	if s := r.URL.Query().Get("from"); s != "" {
		if from, err = strconv.ParseUint(s, 10, 64); err != nil {
			return 0, 0, fmt.Errorf("%w: from: %.40q is not an entry's number", ErrBadRequest, s)
		}
	}
	if s := r.URL.Query().Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 {
			return 0, 0, fmt.Errorf("%w: limit: %.40q is not a positive number", ErrBadRequest, s)
		}
	}
	return from, limit, nil
}

func (d door) verify(w http.ResponseWriter, r *http.Request) error {
	noted, err := notedHead(r)
	if err != nil {
		return err
	}
	head, err := d.Store.VerifyAgainst(r.Context(), noted)
	if err != nil {
		return err
	}
	return encode(w, head)
}

// notedHead is the head that the operator noted elsewhere; the zero Head, which
// every log begins with, if none is given.
func notedHead(r *http.Request) (audit.Head, error) {
	seq, hash := r.URL.Query().Get("seq"), r.URL.Query().Get("hash")
	if seq == "" && hash == "" {
		return audit.Head{}, nil
	}
	number, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return audit.Head{}, fmt.Errorf("%w: seq: %.40q is not an entry's number", ErrBadRequest, seq)
	}
	digest, err := trust.ParseDigest(hash)
	if err != nil {
		return audit.Head{}, fmt.Errorf("%w: hash: %w", ErrBadRequest, err)
	}
	return audit.Head{Seq: number, Hash: digest}, nil
}
