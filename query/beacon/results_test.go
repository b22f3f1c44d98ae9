package beacon_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust/access"
)

var update = flag.Bool("update", false, "write the golden documents anew")

// The golden documents hold the structure where Beacon's schemas are not at hand.
func TestGoldenDocuments(t *testing.T) {
	counting := asked(t, snv+"&requestedGranularity=count&datasets=cohort,rare,yesno")
	for name, document := range map[string]beacon.Document{
		"network-results":       beacon.Results(uhn().OfNetwork(), counting, everyStatus()),
		"site-results":          beacon.Results(uhn(), asked(t, snv), everyStatus()),
		"nothing-asked":         beacon.NothingAsked(uhn(), asked(t, ""), "tx-1"),
		"info":                  beacon.Info(uhn()),
		"service-info":          beacon.ServiceInfo(uhn()),
		"node-service-info":     beacon.NodeServiceInfo(uhn()),
		"configuration":         beacon.Configuration(uhn()),
		"network-configuration": beacon.Configuration(uhn().OfNetwork()),
		"map":                   beacon.Map(uhn().OfNetwork()),
		"entry-types":           beacon.EntryTypes(uhn()),
		"filtering-terms":       beacon.FilteringTerms(uhn()),
		"error":                 beacon.Problem(uhn(), beacon.Failure{Code: 401, Message: "the passport has expired", Reason: "expired", Transaction: "tx-1"}),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.MarshalIndent(document, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			file := filepath.Join("testdata", "golden", name+".json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s changed:\n%s", file, got)
			}
		})
	}
}

type document struct {
	Meta struct {
		Granularity string `json:"returnedGranularity"`
		TestMode    bool   `json:"testMode"`
	} `json:"meta"`
	Summary struct {
		Exists    bool   `json:"exists"`
		Total     *int64 `json:"numTotalResults"`
		Precision string `json:"countPrecision"`
	} `json:"responseSummary"`
	Response struct {
		Sets []struct {
			ID       string           `json:"id"`
			BeaconID string           `json:"beaconId"`
			Exists   bool             `json:"exists"`
			Count    int64            `json:"resultsCount"`
			Results  *json.RawMessage `json:"results"`
			Info     struct {
				Status string `json:"status"`
			} `json:"info"`
		} `json:"resultSets"`
	} `json:"response"`
	Info struct {
		Complete bool `json:"complete"`
	} `json:"info"`
}

func read(t *testing.T, d beacon.Document) document {
	t.Helper()
	encoded, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var got document
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// Whatever is included, a site without data is listed, and results is there.
func TestIncludeChoosesDatasetsAndNeverHidesSites(t *testing.T) {
	sites := "bcgsc chus mcgill oicr sickkids ubc udem "
	for include, want := range map[string]string{
		"": sites + "cohort rare yesno", "ALL": sites + "cohort rare yesno", "HIT": sites + "cohort yesno", "MISS": sites + "rare", "NONE": strings.TrimSpace(sites),
	} {
		got := read(t, beacon.Results(uhn().OfNetwork(), asked(t, snv+"&includeResultsetResponses="+include), everyStatus()))
		var ids []string
		for _, set := range got.Response.Sets {
			ids = append(ids, set.ID)
			if set.BeaconID == "" || set.Results == nil || string(*set.Results) != "[]" || set.Info.Status == "" {
				t.Errorf("%s: %+v", include, set)
			}
		}
		if strings.Join(ids, " ") != want {
			t.Errorf("%s lists %v, want %s", include, ids, want)
		}
		if got.Info.Complete || !got.Summary.Exists || got.Summary.Total == nil || *got.Summary.Total != 71 || got.Summary.Precision != "imprecise" {
			t.Errorf("%s: %+v %+v", include, got.Summary, got.Info)
		}
	}
}

// Row 134: what is returned is stated, and no number stands at boolean.
func TestReturnedGranularityIsWhatWasGiven(t *testing.T) {
	recordAsked := asked(t, snv+"&requestedGranularity=record")
	for name, c := range map[string]struct {
		datasets []query.DatasetAnswer
		want     string
		total    bool
	}{
		"nothing": {nil, "boolean", false},
		"boolean": {[]query.DatasetAnswer{{Dataset: "a", Granularity: query.Boolean, Exists: true}}, "boolean", false},
		"mixed": {[]query.DatasetAnswer{{Dataset: "a", Granularity: query.Boolean, Exists: true},
			counted("b", 12, query.Exact)}, "count", true},
	} {
		answer := query.Answer{Granularity: query.Record, Parts: []query.Part{{Site: "uhn", Status: query.OK, Datasets: c.datasets}}}
		got := read(t, beacon.Results(uhn(), recordAsked, answer))
		if got.Meta.Granularity != c.want || (got.Summary.Total != nil) != c.total {
			t.Errorf("%s: %+v", name, got)
		}
		if name == "boolean" && got.Response.Sets[0].Count != 0 {
			t.Error("a number was made up at boolean")
		}
	}
}

// Below the threshold and not there at all give the same bytes.
func TestBelowThresholdEqualsAbsent(t *testing.T) {
	answer := func() query.Answer {
		return query.Answer{Transaction: "tx", Parts: []query.Part{{Site: "uhn", Status: query.OK,
			Datasets: []query.DatasetAnswer{counted("rare", 0, query.Thresholded)}}}}
	}
	d := asked(t, snv+"&requestedGranularity=count")
	a, _ := json.Marshal(beacon.Results(uhn(), d, answer()))
	b, _ := json.Marshal(beacon.Results(uhn(), d, answer()))
	if !bytes.Equal(a, b) || bytes.Contains(a, []byte("took")) {
		t.Errorf("%s", a)
	}
}

// What another site sends is shown as one bounded line, and never a token.
func TestPeersWordsAreBounded(t *testing.T) {
	for message, want := range map[string]string{
		"line\nbreak\x1b[31m":       "line break [31m",
		strings.Repeat("ä", 5000):   strings.Repeat("ä", 300),
		"here is " + secret:         "the site could not answer",
		"":                          "the site could not answer",
		"disk full; ask their desk": "disk full; ask their desk",
	} {
		answer := query.Answer{Parts: []query.Part{query.FailedPart("chus", "", query.Failed, "x", message)}}
		encoded, _ := json.Marshal(beacon.Results(uhn(), asked(t, snv), answer))
		var got struct {
			Response struct {
				Sets []struct {
					Info struct {
						Error struct {
							Message string `json:"errorMessage"`
						} `json:"error"`
					} `json:"info"`
				} `json:"resultSets"`
			} `json:"response"`
		}
		if err := json.Unmarshal(encoded, &got); err != nil || got.Response.Sets[0].Info.Error.Message != want {
			t.Errorf("%.40q became %.80q", message, got.Response.Sets[0].Info.Error.Message)
		}
	}
}

// Row 132: levels are those that are served; unset behaves as the strictest.
func TestSecurityLevelsAreThoseServed(t *testing.T) {
	for want, about := range map[string]beacon.About{
		`["CONTROLLED"]`:                       {Site: "a"},
		`["PUBLIC"]`:                           {Site: "a", Levels: []access.Level{access.Public, access.Public}},
		`["REGISTERED","CONTROLLED"]`:          {Site: "a", Levels: []access.Level{access.Controlled, access.Registered}},
		`["PUBLIC","REGISTERED","CONTROLLED"]`: beacon.About{Site: "a"}.OfNetwork(),
	} {
		encoded, _ := json.Marshal(beacon.Configuration(about))
		if !bytes.Contains(encoded, []byte(`"securityAttributes":{"defaultGranularity":"boolean","securityLevels":`+want+`}`)) {
			t.Errorf("%s: %s", want, encoded)
		}
	}
}

// Row 135, V106: test mode answers from what is made up, always the same.
func TestTestModeIsSynthetic(t *testing.T) {
	for text, want := range map[string]int64{
		"assemblyId=GRCh38&referenceName=22&start=16050000&referenceBases=A&alternateBases=G":         120,
		"assemblyId=GRCh38&referenceName=22&start=16049999&referenceBases=TA&alternateBases=TG":       120,
		"assemblyId=GRCh38&referenceName=22&start=16050000&end=16050200":                              132,
		"assemblyId=GRCh38&referenceName=22&start=16050101&end=16050102":                              12,
		"assemblyId=GRCh38&referenceName=22&start=16050000&end=16050200&alternateBases=C":             12,
		"assemblyId=GRCh37&referenceName=X&start=5000000&referenceBases=T&alternateBases=TA":          0,
		"assemblyId=GRCh38&referenceName=22&start=16050000&end=16050200&datasets=synthetic,elsewhere": 132,
	} {
		d := asked(t, text+"&testMode=true&requestedGranularity=record")
		answer := beacon.Synthetic(uhn(), d.Request)
		got := read(t, beacon.Results(uhn(), d, answer))
		if total, ok := answer.Total(); !ok || total != want || got.Summary.Exists != (want > 0) || !got.Meta.TestMode || got.Meta.Granularity != "count" {
			t.Errorf("%s: %d, %+v", text, total, got)
		}
	}
	d := asked(t, snv+"&testMode=true&datasets=rarivitis")
	if answer := beacon.Synthetic(uhn(), d.Request); answer.Parts[0].Status != query.Nothing || answer.Exists() {
		t.Errorf("a real dataset's name in test mode: %+v", answer)
	}
	d = asked(t, "assemblyId=GRCh38&referenceName=22&start=16050000&end=16050200&testMode=true")
	if answer := beacon.Synthetic(uhn(), d.Request); answer.Parts[0].Datasets[0].Count != nil {
		t.Errorf("a count at boolean: %+v", answer)
	}
}
