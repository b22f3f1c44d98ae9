package oidc

import (
	"context"
	"errors"
	"time"

	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/jose"
)

// DeviceCode is what a person needs for signing in on another device (RFC 8628,
// section 3.2). All of it is printable ASCII.
type DeviceCode struct {
	UserCode    string
	Address     string // where to type it
	AddressFull string // the same with the code in it, "" if there is none
	Expires     time.Time
}

// Device signs a person in with the device flow (RFC 8628): show is called once with
// what the person needs, and the tokens come when the person has signed in. It asks as
// seldom as the provider says, and less often while the provider cannot be reached.
// ErrNoDeviceFlow, ErrDenied and ErrExpired are what a person may meet.
func (s Public) Device(ctx context.Context, show func(DeviceCode)) (bearer.Tokens, error) {
	f, err := s.start(ctx)
	if err != nil {
		return bearer.Tokens{}, err
	}
	e := f.endpoint("device sign-in", f.all.DeviceAuthorization)
	if e.address == "" {
		return bearer.Tokens{}, &Error{Op: e.op, Issuer: s.Issuer, Kind: ErrNoDeviceFlow, Detail: "its discovery document names no device_authorization_endpoint"}
	}
	config := f.config("")
	device, err := config.DeviceAuth(e.strict(ctx, checkDevice))
	if err != nil {
		_, err = e.outcome(ctx, nil, err)
		return bearer.Tokens{}, err
	}
	if latest := time.Now().Add(maxDeviceWait); device.Expiry.After(latest) {
		device.Expiry = latest
	}
	device.Interval = min(device.Interval, int64(maxInterval/time.Second))
	show(DeviceCode{device.UserCode, device.VerificationURI, device.VerificationURIComplete, device.Expiry})
	for {
		got, err := config.DeviceAccessToken(e.strict(ctx, checkTokens), device)
		own, ours := errors.AsType[*Error](err)
		switch {
		case err == nil:
			return e.outcome(ctx, got, nil)
		case ctx.Err() == nil && !time.Now().Before(device.Expiry):
			return bearer.Tokens{}, &Error{Op: e.op, Issuer: s.Issuer, Kind: ErrExpired, Detail: "start again for a new code"}
		case ctx.Err() != nil || !ours || !own.passing():
			return e.outcome(ctx, nil, err)
		}
		// The person may be signing in while the network is away (RFC 8628, section 3.5:
		// back off exponentially).
		device.Interval = max(min(2*max(device.Interval, 5), int64(maxInterval/time.Second)), int64(own.RetryAfter/time.Second))
	}
}

// checkDevice says what is wrong with a device authorization response, or "". What it
// names is printed on a terminal, and typed by a person.
func checkDevice(body []byte) string {
	var r struct {
		Device   jose.Text `json:"device_code"`
		User     jose.Text `json:"user_code"`
		Address  jose.Text `json:"verification_uri"`
		Full     jose.Text `json:"verification_uri_complete"`
		Expires  float64   `json:"expires_in"`
		Interval *float64  `json:"interval"`
	}
	switch {
	case jose.Unmarshal(body, &r) != nil:
		return "its answer is not the JSON of a device authorization"
	case r.Device.Value == "":
		return "its answer has no device_code"
	case r.User.Value == "" || len(r.User.Value) > maxUserCode || !printable(r.User.Value):
		return "its answer has no user_code that a person can type"
	case checkAddress(r.Address.Value, true) != "" || !printable(r.Address.Value):
		return "its answer has a verification_uri that is not https"
	case r.Full.Present && (checkAddress(r.Full.Value, true) != "" || !printable(r.Full.Value)):
		return "its answer has a verification_uri_complete that is not https"
	case !(r.Expires >= 1 && r.Expires <= maxExpiresIn):
		return "its answer has an expires_in that is no number of seconds"
	case r.Interval != nil && !(*r.Interval >= 0 && *r.Interval <= maxExpiresIn):
		return "its answer has an interval that is no number of seconds"
	}
	return ""
}

// printable keeps control characters, and letters that look like others, from the
// terminal.
func printable(s string) bool {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return true
}
