package beacon

import (
	"slices"

	"github.com/candignode/candignode/query"
)

type responseMeta struct {
	BeaconID    string            `json:"beaconId"`
	APIVersion  string            `json:"apiVersion"`
	Schemas     []SchemaRef       `json:"returnedSchemas"`
	Granularity query.Granularity `json:"returnedGranularity"`
	TestMode    bool              `json:"testMode,omitempty"`
	Received    received          `json:"receivedRequestSummary"`
}

type resultsDocument struct {
	Meta     responseMeta  `json:"meta"`
	Summary  summary       `json:"responseSummary"`
	Response results       `json:"response"`
	Info     answerDetails `json:"info"`
}

type summary struct {
	Exists    bool   `json:"exists"`
	Total     *int64 `json:"numTotalResults,omitempty"`
	Precision string `json:"countPrecision,omitempty"` // Beacon v2.2
}

type results struct {
	Sets []resultSet `json:"resultSets"`
}

type resultSet struct {
	ID        string     `json:"id"`
	BeaconID  string     `json:"beaconId,omitempty"` // network answers only
	Type      string     `json:"setType"`
	Exists    bool       `json:"exists"`
	Count     int64      `json:"resultsCount"`
	Precision string     `json:"countPrecision,omitempty"` // Beacon v2.2
	Results   []struct{} `json:"results"`                  // always empty: no records are given
	Info      setDetails `json:"info"`
}

type setDetails struct {
	Status      query.Status      `json:"status"`
	Granularity query.Granularity `json:"granularity,omitempty"`
	Precision   query.Precision   `json:"precision,omitempty"`
	Error       *siteError        `json:"error,omitempty"`
}

type siteError struct {
	Code    int    `json:"errorCode"`
	Message string `json:"errorMessage"`
	Reason  string `json:"reason,omitempty"`
}

type answerDetails struct {
	Transaction string `json:"transaction,omitempty"`
	Complete    *bool  `json:"complete,omitempty"`
	Message     string `json:"message,omitempty"`
	Reason      string `json:"reason,omitempty"`
}

// Results writes an answer as a ResultSets document. What each field means is in
// the package comment.
func Results(a About, d Decoded, answer query.Answer) Document {
	complete := answer.Complete()
	document := resultsDocument{
		Meta:     a.meta(d, returned(answer)),
		Summary:  summary{Exists: answer.Exists()},
		Response: results{Sets: []resultSet{}},
		Info:     answerDetails{Transaction: answer.Transaction, Complete: &complete},
	}
	if total, ok := answer.Total(); ok {
		document.Summary.Total = &total
		document.Summary.Precision = precisionOf(answer)
	}
	for _, part := range answer.Parts {
		document.Response.Sets = append(document.Response.Sets, a.sets(part, d.Request.Include)...)
	}
	return document
}

// NothingAsked answers a request that named no variant. Every Beacon root
// answers such a probe with success; nothing was looked up for it, and the
// document says so.
func NothingAsked(a About, d Decoded, transaction string) Document {
	return resultsDocument{
		Meta:     a.meta(d, query.Boolean),
		Response: results{Sets: []resultSet{}},
		Info: answerDetails{Transaction: transaction, Message: "no variant was named, so nothing was looked up: " +
			"give assemblyId, referenceName, start and either end or referenceBases and alternateBases"},
	}
}

func (a About) meta(d Decoded, granularity query.Granularity) responseMeta {
	return responseMeta{
		BeaconID: a.ID(), APIVersion: APIVersion, Schemas: []SchemaRef{variantSchema()},
		Granularity: granularity, TestMode: d.Request.TestMode, Received: d.received(),
	}
}

// sets gives the result sets of one site's part.
func (a About) sets(part query.Part, include query.Include) []resultSet {
	if part.Status != query.OK || len(part.Datasets) == 0 {
		set := resultSet{ID: string(part.Site), Type: entryDataset, Results: []struct{}{}}
		set.Info = setDetails{Status: part.Status, Error: errorOf(part)}
		return []resultSet{a.ofSite(part, set)}
	}
	var sets []resultSet
	for _, dataset := range part.Datasets {
		if !wanted(dataset.Exists, include) {
			continue
		}
		set := resultSet{ID: dataset.Dataset, Type: entryDataset, Exists: dataset.Exists, Results: []struct{}{}}
		set.Info = setDetails{Status: part.Status, Granularity: dataset.Granularity}
		if dataset.Count != nil {
			set.Count, set.Precision = *dataset.Count, beaconPrecision(dataset.Precision)
			set.Info.Precision = dataset.Precision
		}
		sets = append(sets, a.ofSite(part, set))
	}
	return sets
}

func (a About) ofSite(part query.Part, set resultSet) resultSet {
	if a.network {
		set.BeaconID = string(part.Site)
	}
	return set
}

func wanted(exists bool, include query.Include) bool {
	switch include {
	case query.IncludeHit:
		return exists
	case query.IncludeMiss:
		return !exists
	case query.IncludeNone:
		return false
	}
	return true
}

// returned is the highest granularity that was given, and boolean if none was.
func returned(answer query.Answer) query.Granularity {
	highest := query.Boolean
	for _, part := range answer.Parts {
		for _, dataset := range part.Datasets {
			if dataset.Granularity.Rank() > highest.Rank() {
				highest = dataset.Granularity
			}
		}
	}
	return highest
}

// beaconPrecision says it in Beacon v2.2's words, exact, imprecise and rounded.
func beaconPrecision(p query.Precision) string {
	if p == query.Exact {
		return "exact"
	}
	return "imprecise"
}

// precisionOf is that of the total: exact if every count in it is.
func precisionOf(answer query.Answer) string {
	imprecise := slices.ContainsFunc(answer.Parts, func(p query.Part) bool {
		return slices.ContainsFunc(p.Datasets, func(d query.DatasetAnswer) bool {
			return d.Count != nil && d.Precision != query.Exact
		})
	})
	if imprecise {
		return "imprecise"
	}
	return "exact"
}

// errorOf gives what to show for a site without data. Beacon's error codes are
// numbers, and these are read as HTTP's are.
func errorOf(part query.Part) *siteError {
	var own siteError
	switch part.Status {
	case query.OK, query.Nothing:
		return nil
	case query.Denied:
		own = siteError{Code: 403, Message: "the site gives this caller nothing"}
	case query.Timeout:
		own = siteError{Code: 504, Message: "the site did not answer in time"}
	case query.Unreachable:
		own = siteError{Code: 502, Message: "the site cannot be reached"}
	case query.Refused:
		own = siteError{Code: 403, Message: "the site refused the question"}
	case query.BadVersion:
		own = siteError{Code: 501, Message: "the site speaks another version"}
	default:
		own = siteError{Code: 500, Message: "the site could not answer"}
	}
	if part.Error != nil {
		own.Message = first(clean(part.Error.Message), own.Message)
		own.Reason = clean(part.Error.Code)
	}
	return &own
}
