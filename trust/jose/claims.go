package jose

import (
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/candignode/candignode/trust"
)

// Text is a member that must be a JSON string if it is there: null, numbers and
// the rest are errors, not the empty string.
type Text struct {
	Value   string
	Present bool
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (t *Text) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != '"' {
		return refuse(trust.ReasonBadClaim, "%.80q is not a string", string(dec.StackPointer()))
	}
	t.Value, t.Present = token.String(), true
	return nil
}

// NumericDate is a time claim (RFC 7519, section 2): a JSON number of seconds
// t, finite, 1 <= t < 2^33, fractions allowed (kept to the microsecond). Text,
// null, zero, negative and overflowing values are errors with
// trust.ReasonBadTime, so that none of them can pass for "no expiry"
// (passports.md, row 105). The zero NumericDate is an absent claim.
type NumericDate struct{ time.Time }

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (d *NumericDate) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	value, err := dec.ReadValue()
	if err != nil {
		return err
	}
	bad := func() error {
		return refuse(trust.ReasonBadTime, "%.80q is not a time: a JSON number of seconds, 1 or more and below 2^33, is needed", string(dec.StackPointer()))
	}
	if value.Kind() != '0' {
		return bad()
	}
	if seconds, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		if seconds < 1 || seconds >= maxNumericDate {
			return bad()
		}
		d.Time = time.Unix(seconds, 0).UTC()
		return nil
	}
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || !(seconds >= 1 && seconds < maxNumericDate) { // NaN and infinities fail the comparison
		return bad()
	}
	whole, fraction := math.Modf(seconds)
	d.Time = time.Unix(int64(whole), int64(fraction*1e6)*1000).UTC()
	return nil
}
