package beacon_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust/access"
)

// schemas holds Beacon's own schemas under the addresses that they refer to each
// other by. An address that is not held is an error: nothing is ever fetched.
type schemas struct {
	compiler *jsonschema.Compiler
}

type noFetch struct{}

func (noFetch) Load(address string) (any, error) {
	return nil, fmt.Errorf("%s is not in the schema folder, and nothing is fetched", address)
}

const schemasAt = "https://raw.githubusercontent.com/ga4gh-beacon/beacon-v2/main/"

func loadSchemas(t *testing.T) schemas {
	t.Helper()
	root := filepath.Join("..", "..", "..", "shared", "schemas", "beacon-v2")
	if _, err := os.Stat(root); err != nil {
		t.Skip("the Beacon schemas are not beside the checkout; the golden documents hold the structure")
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noFetch{})
	compiler.AssertFormat()
	add := func(address, file string) error {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		return compiler.AddResource(address, document)
	}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".json") || strings.Contains(file, "example") {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		return add(schemasAt+filepath.ToSlash(relative), file)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := add("https://w3id.org/ga4gh/schema/vrs/1.3/vrs.json", filepath.Join(root, "..", "vrs-1.3.json")); err != nil {
		t.Fatal(err)
	}
	return schemas{compiler}
}

func (s schemas) validate(t *testing.T, name string, document any) {
	t.Helper()
	schema, err := s.compiler.Compile(schemasAt + "framework/json/" + name)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(decoded); err != nil {
		t.Errorf("%s: %v\n%s", name, err, encoded)
	}
}

func uhn() beacon.About {
	return beacon.About{
		Site: "uhn", Name: "University Health Network", URL: "https://node.uhn.example.org",
		Version: "0.1.0", Levels: []access.Level{access.Controlled, access.Public},
		Assemblies: []query.Assembly{query.GRCh37},
		Updated:    time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

func counted(dataset string, n int64, precision query.Precision) query.DatasetAnswer {
	return query.DatasetAnswer{Dataset: dataset, Granularity: query.Count, Exists: n > 0, Count: &n, Precision: precision}
}

// everyStatus is an answer in which each thing that can happen to a site has
// happened to one.
func everyStatus() query.Answer {
	return query.Answer{Transaction: "tx-1", Granularity: query.Count, Parts: []query.Part{
		{Site: "bcgsc", Status: query.Denied, Error: &query.PartError{Code: "denied", Message: "no grant"}},
		{Site: "chus", Status: query.Unreachable},
		{Site: "mcgill", Status: query.Timeout, TookMS: 9000},
		{Site: "oicr", Status: query.Nothing},
		{Site: "sickkids", Status: query.Refused},
		{Site: "ubc", Status: query.BadVersion},
		{Site: "udem", Status: query.Failed},
		{Site: "uhn", Status: query.OK, TookMS: 3, Datasets: []query.DatasetAnswer{
			counted("cohort", 71, query.Exact), counted("rare", 0, query.Thresholded),
			{Dataset: "yesno", Granularity: query.Boolean, Exists: true},
		}},
	}}
}

func asked(t *testing.T, text string) beacon.Decoded {
	t.Helper()
	values, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	d, err := beacon.DecodeGet(query.GVariants, values)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const snv = "assemblyId=GRCh37&referenceName=22&start=16050074&referenceBases=A&alternateBases=G"

// Every document that can be made is valid against Beacon's schemas (rows 132,
// 136, 140).
func TestDocumentsAreValidBeacon(t *testing.T) {
	s := loadSchemas(t)
	for name, about := range map[string]beacon.About{
		"site": uhn(), "network": uhn().OfNetwork(), "empty site": {Site: "new", URL: "https://127.0.0.1:8443"},
	} {
		t.Run(name, func(t *testing.T) {
			s.validate(t, "responses/beaconInfoResponse.json", beacon.Info(about))
			s.validate(t, "responses/ga4gh-service-info-1-0-0-schema.json", beacon.ServiceInfo(about))
			s.validate(t, "responses/ga4gh-service-info-1-0-0-schema.json", beacon.NodeServiceInfo(about))
			s.validate(t, "responses/beaconConfigurationResponse.json", beacon.Configuration(about))
			s.validate(t, "responses/beaconMapResponse.json", beacon.Map(about))
			s.validate(t, "responses/beaconEntryTypesResponse.json", beacon.EntryTypes(about))
			s.validate(t, "responses/beaconFilteringTermsResponse.json", beacon.FilteringTerms(about))
			s.validate(t, "responses/beaconErrorResponse.json", beacon.Problem(about, beacon.Failure{
				Code: 401, Message: "no", Reason: "expired", Transaction: "tx"}))
			for _, question := range []string{
				snv, snv + "&requestedGranularity=count&datasets=cohort,rare&includeResultsetResponses=HIT",
				snv + "&end=16050175&testMode=true&requestedSchema=ga4gh-beacon-variant-v2.0.0&skip=1&limit=5",
			} {
				d := asked(t, question)
				for _, answer := range []query.Answer{everyStatus(), {}, beacon.Synthetic(about, d.Request)} {
					s.validate(t, "responses/beaconResultsetsResponse.json", beacon.Results(about, d, answer))
				}
			}
			probe := asked(t, "")
			s.validate(t, "responses/beaconResultsetsResponse.json", beacon.NothingAsked(about, probe, "tx"))
		})
	}
}

// The schema test can fail: a document without its meta is refused.
func TestTheSchemasRefuse(t *testing.T) {
	s := loadSchemas(t)
	schema, err := s.compiler.Compile(schemasAt + "framework/json/responses/beaconResultsetsResponse.json")
	if err != nil {
		t.Fatal(err)
	}
	if schema.Validate(map[string]any{"responseSummary": map[string]any{"exists": true}}) == nil {
		t.Error("a document without meta and response was accepted")
	}
	if _, err := s.compiler.Compile("https://example.org/elsewhere.json"); err == nil {
		t.Error("a schema that is not held was compiled")
	}
}
