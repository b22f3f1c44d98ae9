package beacon

import "github.com/candignode/candignode/query"

// received is receivedRequestSummary: the request as it was understood, put
// together from checked values. Nothing that a caller sent is copied into it
// unread, and passports are not part of it at all (passports.md, row 136).
type received struct {
	APIVersion  string              `json:"apiVersion"`
	Schemas     []SchemaRef         `json:"requestedSchemas"`
	Pagination  pagination          `json:"pagination"`
	Granularity query.Granularity   `json:"requestedGranularity"`
	Include     query.Include       `json:"includeResultsetResponses,omitempty"`
	TestMode    bool                `json:"testMode,omitempty"`
	Parameters  *receivedParameters `json:"requestParameters,omitempty"`
}

type pagination struct {
	Skip  int `json:"skip"`
	Limit int `json:"limit"`
}

type receivedParameters struct {
	Variant  receivedVariant   `json:"g_variant"`
	Datasets *receivedDatasets `json:"datasets,omitempty"`
}

type receivedVariant struct {
	Assembly query.Assembly `json:"assemblyId"`
	Chrom    string         `json:"referenceName"`
	Start    []int64        `json:"start"`
	End      []int64        `json:"end,omitempty"`
	Ref      string         `json:"referenceBases,omitempty"`
	Alt      string         `json:"alternateBases,omitempty"`
}

type receivedDatasets struct {
	IDs []string `json:"datasetIds"`
}

// received summarizes the request; the zero Decoded stands for one that could
// not be read.
func (d Decoded) received() received {
	r := received{
		APIVersion: first(d.apiVersion, APIVersion), Schemas: d.schemas,
		Pagination:  pagination{d.skip, d.limit},
		Granularity: d.Request.Granularity, Include: d.Request.Include, TestMode: d.Request.TestMode,
	}
	if r.Schemas == nil {
		r.Schemas = []SchemaRef{}
	}
	if r.Granularity == "" {
		r.Granularity = query.Boolean
	}
	v := d.Request.Variant
	if v.Chrom == "" {
		return r
	}
	r.Parameters = &receivedParameters{Variant: receivedVariant{
		Assembly: v.Assembly, Chrom: v.Chrom, Start: []int64{v.Start}, Ref: v.Ref, Alt: v.Alt,
	}}
	if v.IsRange() {
		r.Parameters.Variant.End = []int64{v.End}
	}
	if len(d.Request.Datasets) > 0 {
		r.Parameters.Datasets = &receivedDatasets{d.Request.Datasets}
	}
	return r
}
