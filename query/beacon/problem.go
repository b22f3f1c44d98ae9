package beacon

import "github.com/candignode/candignode/query"

type errorDocument struct {
	Meta  responseMeta  `json:"meta"`
	Error beaconError   `json:"error"`
	Info  answerDetails `json:"info"`
}

type beaconError struct {
	Code    int    `json:"errorCode"`
	Message string `json:"errorMessage"`
}

// Failure is why a request has no answer.
type Failure struct {
	Code        int    // the HTTP status
	Message     string // a sentence for people, without anything secret
	Reason      string // a stable code, if a passport was refused
	Transaction string
}

// Problem writes an error as Beacon does. The request is not summarized: what
// could not be understood is not repeated.
func Problem(a About, f Failure) Document {
	meta := a.meta(Decoded{}, query.Boolean)
	meta.Schemas = []SchemaRef{}
	return errorDocument{
		Meta:  meta,
		Error: beaconError{f.Code, f.Message},
		Info:  answerDetails{Transaction: f.Transaction, Reason: f.Reason},
	}
}
