// Package api holds the JSON that scripts read, as Go types, and the small
// client that the command line asks a node with.
//
// These shapes are a promise: fields may be added, never renamed. The package
// imports nothing of the project, so that whoever reads an answer needs none of
// what made it.
package api

import "time"

// MediaTypeLines asks a question's answer as a stream of Line, one JSON object
// per line.
const MediaTypeLines = "application/x-ndjson"

// Answer is what one or many sites said to one question; `query --json` prints
// it.
type Answer struct {
	Transaction string `json:"transaction"` // joins the audit records of all sites asked
	Granularity string `json:"granularity"` // asked for: boolean, count or record
	Exists      bool   `json:"exists"`
	// Count sums the datasets that gave one; absent when none did. Somebody in
	// two datasets is counted twice.
	Count    *int64 `json:"count,omitempty"`
	Complete bool   `json:"complete"` // every site gave its answer
	Sites    []Site `json:"sites"`    // sorted by name; one for every site asked
}

// Site is one site's part of an Answer, or why there is none.
type Site struct {
	Site     string    `json:"site"`
	Node     string    `json:"node"`
	Status   string    `json:"status"`  // ok, denied, nothing, timeout, unreachable, refused, bad_version or error
	TookMS   int64     `json:"took_ms"` // milliseconds, as the asking node saw it
	Datasets []Dataset `json:"datasets,omitempty"`
	Error    *Error    `json:"error,omitempty"`
}

// Dataset is one dataset's answer.
type Dataset struct {
	Dataset     string `json:"dataset"`
	Granularity string `json:"granularity"` // given; at most what was asked
	Exists      bool   `json:"exists"`
	Count       *int64 `json:"count,omitempty"`     // distinct individuals; absent at boolean
	Precision   string `json:"precision,omitempty"` // exact or thresholded
}

// Error says why a site has no answer.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Line is one line of a streamed answer. Exactly one member is set: Part as a
// site answers, then Answer once, or Problem if no honest answer can be given
// after all. A stream that ends without either was cut off.
type Line struct {
	Part    *Site    `json:"part,omitempty"`
	Answer  *Answer  `json:"answer,omitempty"`
	Problem *Problem `json:"problem,omitempty"`
	// Beacon stands beside Answer: the same answer as a Beacon v2 document.
	Beacon any `json:"beacon,omitempty"`
}

// WhoamiRequest is the body of POST /v1/whoami: the caller's own passports, none
// for a caller who comes with a token.
type WhoamiRequest struct {
	Passports []string `json:"passports,omitempty"`
}

// Whoami says who the node takes the caller to be, and what it made of each
// visa.
type Whoami struct {
	Caller Caller `json:"caller"`
	// Until is when the first of all that was relied on expires; absent when
	// nothing sets a limit.
	Until     *time.Time `json:"until,omitempty"`
	Passports []Passport `json:"passports"`
	Visas     []Visa     `json:"visas"`
	// Notes say what else the caller could have had and has not, and why.
	Notes []string `json:"notes,omitempty"`
	// Session is the one that the caller came with, absent for any other way.
	Session *Session `json:"session,omitempty"`
}

// Caller is an identity: the pair counts, never the subject alone.
type Caller struct {
	Issuer  string     `json:"iss"`
	Subject string     `json:"sub"`
	Linked  []Identity `json:"linked"`
}

// Identity is a further identity of the same person.
type Identity struct {
	Issuer  string     `json:"iss"`
	Subject string     `json:"sub"`
	Until   *time.Time `json:"until,omitempty"` // end of the links that say so
}

// Passport is one passport of the request.
type Passport struct {
	Issuer   string `json:"iss"`
	Accepted bool   `json:"accepted"`
}

// Visa is what the node made of one visa. Reason is a stable code and Detail a
// sentence; both are absent for an accepted visa.
type Visa struct {
	Issuer   string     `json:"iss"`
	Subject  string     `json:"sub"`
	Type     string     `json:"type"`
	Value    string     `json:"value"`
	Source   string     `json:"source"`
	By       string     `json:"by,omitempty"`
	Accepted bool       `json:"accepted"`
	Reason   string     `json:"reason,omitempty"`
	Detail   string     `json:"detail,omitempty"`
	Key      string     `json:"key,omitempty"` // thumbprint of the key that verified it
	Until    *time.Time `json:"until,omitempty"`
	// Trace says in plain words, and in order, what the decision rested on.
	Trace []string `json:"trace,omitempty"`
}

// Problem is an error answer (RFC 9457, problem details). It is an error too, so
// that a client can hand it up as it came.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Reason string `json:"reason,omitempty"` // a stable code, for refused passports
	// Transaction finds the request in the node's logs and audit log.
	Transaction string `json:"transaction,omitempty"`
}

// Error gives the sentence for people.
func (p *Problem) Error() string {
	text := p.Title
	if p.Detail != "" {
		text = p.Detail
	}
	if p.Reason != "" {
		text += " (" + p.Reason + ")"
	}
	return text
}
