package broker

import (
	"encoding/json"
	"fmt"
)

// OAuthError is a refusal of the token endpoint (RFC 6749, section 5.2; RFC 8693,
// section 2.2.2). Its text is safe to show and to log.
type OAuthError struct {
	Code        string
	Description string // for the client's programmer
	Status      int    // of HTTP
}

// The codes.
const (
	CodeInvalidRequest = "invalid_request"
	CodeInvalidClient  = "invalid_client"
	CodeInvalidTarget  = "invalid_target"
	CodeInvalidScope   = "invalid_scope"
	CodeGrantType      = "unsupported_grant_type"
	CodeUnavailable    = "temporarily_unavailable"
)

// Statuses of HTTP; this package speaks no HTTP itself.
const (
	statusBadRequest   = 400
	statusUnauthorized = 401
	statusUnavailable  = 503
)

// Error gives "code: description".
func (e *OAuthError) Error() string { return e.Code + ": " + e.Description }

// Body is the response's JSON.
func (e *OAuthError) Body() []byte {
	body, err := json.Marshal(struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, e.Description})
	if err != nil {
		return []byte(`{"error":"invalid_request"}`) // two strings always encode
	}
	return body
}

func oauth(code, format string, args ...any) *OAuthError {
	status := statusBadRequest
	switch code {
	case CodeInvalidClient:
		status = statusUnauthorized
	case CodeUnavailable:
		status = statusUnavailable
	}
	return &OAuthError{Code: code, Description: fmt.Sprintf(format, args...), Status: status}
}
