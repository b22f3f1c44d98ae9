package admin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

// The operator takes access back here: from a person, a token, a key or an issuer,
// whatever its issuer says, and from whoever holds a session (passports.md, row 62).

func (d door) withdrawals(route func(string, func(http.ResponseWriter, *http.Request) error)) {
	route("GET /v1/revocations", d.revocations)
	route("POST /v1/revocations", d.addRevocation)
	route("DELETE /v1/revocations/{id}", d.removeRevocation)
	route("GET /v1/sessions", d.sessions)
	route("DELETE /v1/sessions/{id}", d.endSession)
}

func (d door) revocations(w http.ResponseWriter, r *http.Request) error {
	list, err := d.Store.AllRevocations(r.Context())
	if err != nil {
		return err
	}
	if list == nil {
		list = []trust.Revocation{} // [] in JSON
	}
	return encode(w, list)
}

// readRevocation never repeats what stands where a digest should: it may be the
// token itself.
func readRevocation(r *http.Request) (trust.Revocation, error) {
	var in struct {
		trust.Revocation
		Token string `json:"token"`
	}
	if err := decode(r, &in); err != nil {
		return trust.Revocation{}, err
	}
	if in.Token != "" {
		var err error
		if in.Revocation.Token, err = trust.ParseDigest(in.Token); err != nil {
			return trust.Revocation{}, fmt.Errorf("%w: token: %w", ErrBadRequest, errNoDigest)
		}
	}
	return in.Revocation, nil
}

var errNoDigest = errors.New("not the digest of a token, which is 43 characters of unpadded base64url of its SHA-256")

// addRevocation answers with the revocation that holds: the new one, or one of the
// same thing that was there.
func (d door) addRevocation(w http.ResponseWriter, r *http.Request) error {
	in, err := readRevocation(r)
	if err != nil {
		return err
	}
	if err := checkRevocation(in); err != nil {
		return err
	}
	list, err := d.Store.AllRevocations(r.Context())
	if err != nil {
		return err
	}
	for _, there := range list {
		if sameTarget(there, in) {
			return encode(w, there)
		}
	}
	var id [12]byte
	rand.Read(id[:])
	in.ID, in.Created = hex.EncodeToString(id[:]), d.Now().UTC() // hexadecimal, as a grant's id is
	err = d.Store.AddRevocation(r.Context(), in, d.revocationRecord(in, "added"))
	if errors.Is(err, store.ErrRefused) {
		return fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	if err != nil {
		return err
	}
	if err := d.signOut(r.Context(), in); err != nil {
		return err
	}
	return encode(w, in)
}

// signOut ends the sessions of whoever was revoked. They open nothing any more as it
// is; but a revocation that is taken back later gives nobody back a session that was
// open at the time.
func (d door) signOut(ctx context.Context, r trust.Revocation) error {
	for _, v := range d.Store.AllSessions() {
		gone := r.Kind == trust.RevokeIssuer && v.Issuer == r.Issuer ||
			r.Kind == trust.RevokeIdentity && v.Identity == trust.Identity{Issuer: r.Issuer, Subject: r.Subject}
		if !gone {
			continue
		}
		if err := d.Store.EndSession(ctx, v.ID, d.sessionRecord(v)); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (d door) sessionRecord(v access.Session) audit.Record {
	return audit.Record{
		Time: d.Now(), Event: audit.EventSession, Caller: v.Identity, Outcome: "ended",
		Detail: fmt.Sprintf("session %.80s: by the operator", v.ID),
	}
}

func (d door) removeRevocation(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	list, err := d.Store.AllRevocations(r.Context())
	if err != nil {
		return err
	}
	for _, there := range list {
		if there.ID == id {
			if there, err = d.Store.RemoveRevocation(r.Context(), id, d.revocationRecord(there, "removed")); err != nil {
				return err
			}
			return encode(w, there)
		}
	}
	return fmt.Errorf("%w: no revocation has the id %.40q; 'candignode revoke list' shows them", store.ErrNotFound, id)
}

// checkRevocation refuses a revocation that has not what its kind is about, or more:
// whoever names a jti and a subject would believe that both must fit.
func checkRevocation(r trust.Revocation) error {
	var needed, allowed []string
	switch r.Kind {
	case trust.RevokeIdentity:
		needed = []string{"iss", "sub"}
	case trust.RevokeJTI:
		needed, allowed = []string{"jti"}, []string{"iss"}
	case trust.RevokeToken:
		needed = []string{"token"}
	case trust.RevokeKey:
		needed = []string{"key"}
	case trust.RevokeIssuer:
		needed = []string{"iss"}
	default:
		return fmt.Errorf("%w: kind: %.40q is none of identity, jti, token, key, issuer", ErrBadRequest, r.Kind)
	}
	given := map[string]string{"iss": r.Issuer, "sub": r.Subject, "jti": r.JTI, "key": r.Key, "token": ""}
	if !r.Token.IsZero() {
		given["token"] = r.Token.String()
	}
	for _, name := range needed {
		if given[name] == "" {
			return fmt.Errorf("%w: a revocation of the kind %q needs %s", ErrBadRequest, r.Kind, name)
		}
	}
	for _, name := range append(needed, allowed...) {
		if len(given[name]) > maxName {
			return fmt.Errorf("%w: %s: %d bytes, at most %d", ErrBadRequest, name, len(given[name]), maxName)
		}
		delete(given, name)
	}
	for name, value := range given {
		if value != "" {
			return fmt.Errorf("%w: a revocation of the kind %q has no %s", ErrBadRequest, r.Kind, name)
		}
	}
	if r.Key != "" {
		if _, err := trust.ParseDigest(r.Key); err != nil {
			return fmt.Errorf("%w: key: not an RFC 7638 thumbprint, which is 43 characters; 'candignode issuers explain' shows them", ErrBadRequest)
		}
	}
	if len(r.Why) > maxWhy || strings.ContainsFunc(r.Why, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return fmt.Errorf("%w: why: printable text of at most %d bytes", ErrBadRequest, maxWhy)
	}
	return nil
}

func sameTarget(a, b trust.Revocation) bool {
	return a.Kind == b.Kind && a.Issuer == b.Issuer && a.Subject == b.Subject && a.JTI == b.JTI && a.Token == b.Token && a.Key == b.Key
}

func (d door) revocationRecord(r trust.Revocation, outcome string) audit.Record {
	detail := fmt.Sprintf("revocation %s of the kind %s", r.ID, r.Kind)
	for _, part := range [][2]string{{"jti", r.JTI}, {"key", r.Key}, {"why", r.Why}} {
		if part[1] != "" {
			detail += fmt.Sprintf("; %s %q", part[0], part[1])
		}
	}
	if !r.Token.IsZero() {
		detail += "; token " + r.Token.String()
	}
	return audit.Record{
		Time: d.Now(), Event: audit.EventRevocation, Outcome: outcome, Detail: detail,
		Caller: trust.Identity{Issuer: r.Issuer, Subject: r.Subject},
	}
}

func (d door) sessions(w http.ResponseWriter, r *http.Request) error {
	issuer, subject := r.URL.Query().Get("iss"), r.URL.Query().Get("sub")
	found := []access.Session{}
	for _, v := range d.Store.AllSessions() {
		live := d.Now().Before(v.Until)
		if live && (issuer == "" || issuer == v.Issuer) && (subject == "" || subject == v.Subject) {
			found = append(found, v)
		}
	}
	return encode(w, found)
}

func (d door) endSession(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	for _, v := range d.Store.AllSessions() {
		if v.ID == id {
			if err := d.Store.EndSession(r.Context(), id, d.sessionRecord(v)); err != nil {
				return err
			}
			return encode(w, v)
		}
	}
	return fmt.Errorf("%w: no session has the id %.40q; 'candignode sessions list' shows them", store.ErrNotFound, id)
}
