package admin

import (
	"net/http"
	"time"

	"github.com/candignode/candignode/trust/issuers"
)

// The operator takes belief from keys here, and confirms those that are held back. That acts on
// the evidence of a running daemon.

// Distrust is what `issuers distrust` and `issuers undistrust` send. Key is a thumbprint, or "*".
type Distrust struct {
	Issuer string    `json:"issuer"`
	Key    string    `json:"key"`
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"`
}

func (d door) distrust(w http.ResponseWriter, r *http.Request) error {
	return d.onIssuer(w, r, func(in Distrust) error {
		return d.Live.Issuers.Distrust(r.Context(), issuers.Tombstone{Issuer: in.Issuer, Thumbprint: in.Key, Reason: in.Reason, Until: in.Until})
	})
}

func (d door) undistrust(w http.ResponseWriter, r *http.Request) error {
	return d.onIssuer(w, r, func(in Distrust) error { return d.Live.Issuers.Undistrust(r.Context(), in.Issuer, in.Key) })
}

func (d door) approveKeys(w http.ResponseWriter, r *http.Request) error {
	return d.onIssuer(w, r, func(in Distrust) error { return d.Live.Issuers.ConfirmKeys(r.Context(), in.Issuer) })
}

func (d door) onIssuer(w http.ResponseWriter, r *http.Request, do func(Distrust) error) error {
	if d.Live == nil {
		return ErrNotRunning
	}
	var in Distrust
	if err := decode(r, &in); err != nil {
		return err
	}
	if err := do(in); err != nil {
		return err
	}
	return encode(w, struct{}{})
}

func (d door) acknowledgements(w http.ResponseWriter, _ *http.Request) error {
	if d.Live == nil {
		return ErrNotRunning
	}
	return encode(w, d.Live.Issuers.Acknowledgements())
}
