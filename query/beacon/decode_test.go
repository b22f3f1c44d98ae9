package beacon_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/beacon"
)

func get(text string) (beacon.Decoded, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return beacon.Decoded{}, err
	}
	return beacon.DecodeGet(query.GVariants, values)
}

func post(body string) (beacon.Decoded, error) {
	return beacon.DecodePost(query.GVariants, []byte(body))
}

func theSNV() query.VariantQuery {
	return query.VariantQuery{Assembly: query.GRCh37, Chrom: "22", Start: 16050074, Ref: "A", Alt: "G"}
}

// The dialects in use all ask the same question.
func TestDialectsAskTheSameQuestion(t *testing.T) {
	const flat = `"assemblyId":"GRCh37","referenceName":"22","start":[16050074],"referenceBases":"A","alternateBases":"G"`
	want := query.Request{Entity: query.GVariants, Variant: theSNV(), Granularity: query.Count, Datasets: []string{"cohort", "rare"}}
	bodies := map[string]string{
		"framework example": `{"meta":{"apiVersion":"v2.0"},"query":{"requestedGranularity":"count","requestParameters":{"g_variant":{` + flat + `},"datasets":{"datasetIds":["cohort","rare"]}}}}`,
		"flat":              `{"meta":{"apiVersion":"2.0"},"query":{"requestedGranularity":"count","requestParameters":{` + flat + `,"datasets":["cohort","rare"]}}}`,
		"outside query":     `{"requestedGranularity":"count","pagination":{"skip":0,"limit":0},"query":{"requestParameters":{` + flat + `},"datasets":{"datasetIds":["cohort","rare"]}}}`,
		"dataset ids":       `{"query":{"requestedGranularity":"count","datasetIds":["cohort","rare"],"pagination":{"limit":5},"requestParameters":{` + flat + `}}}`,
		"joined ids":        `{"datasets":"cohort,rare","query":{"requestedGranularity":"count","requestParameters":{` + flat + `}}}`,
		"plain integers":    `{"query":{"requestedGranularity":"count","datasetIds":["cohort","rare"],"requestParameters":{` + strings.Replace(flat, "[16050074]", "16050074", 1) + `}}}`,
		"nulls":             `{"meta":null,"query":{"filters":null,"requestedGranularity":"count","datasetIds":["cohort","rare"],"requestParameters":{"end":null,"geneId":null,` + flat + `}}}`,
		"other spellings": `{"$schema":"x","query":{"filters":[],"requestedGranularity":"count","datasetIds":["cohort","rare"],"requestParameters":{"$schema":"y","g_variant":{` +
			`"assemblyId":"hg19","referenceName":"refseq:NC_000022.10","start":[16050074],"referenceBases":"a","alternateBases":"g"}}}}`,
	}
	for name, body := range bodies {
		t.Run("POST "+name, func(t *testing.T) {
			d, err := post(body)
			if err != nil {
				t.Fatal(err)
			}
			same(t, d.Request, want)
		})
	}
	for name, text := range map[string]string{
		"joined":      snv + "&datasets=cohort,rare&requestedGranularity=count",
		"repeated":    snv + "&datasets=cohort&datasets=rare&requestedGranularity=count",
		"dataset ids": snv + "&datasetIds=cohort,rare&requestedGranularity=count&filters=&geneId=&skip=0&limit=10",
		"chr":         strings.Replace(snv, "referenceName=22", "referenceName=chr22", 1) + "&datasetIds=cohort,rare&requestedGranularity=count",
	} {
		t.Run("GET "+name, func(t *testing.T) {
			d, err := get(text)
			if err != nil {
				t.Fatal(err)
			}
			same(t, d.Request, want)
		})
	}
}

func same(t *testing.T, got, want query.Request) {
	t.Helper()
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("asked\n%s, want\n%s", a, b)
	}
}

func TestRangesAndSequences(t *testing.T) {
	const at = "assemblyId=GRCh37&referenceName=22&start=100"
	for text, want := range map[string]query.VariantQuery{
		at + "&end=200": {Start: 100, End: 200},
		// Clients send end with a sequence too: a range, narrowed by its alleles.
		at + "&end=101&referenceBases=A&alternateBases=G": {Start: 100, End: 101, Ref: "A", Alt: "G"},
		at + "&end=200&alternateBases=G":                  {Start: 100, End: 200, Alt: "G"},
		at + "&referenceBases=CT&alternateBases=C":        {Start: 100, Ref: "CT", Alt: "C"},
	} {
		d, err := get(text)
		want.Assembly, want.Chrom = query.GRCh37, "22"
		if err != nil || d.Request.Variant != want {
			t.Errorf("%s: %+v, %v; want %+v", text, d.Request.Variant, err, want)
		}
	}
}

// An end that cannot be is refused; it must not turn a range into a sequence
// question by being zero.
func TestAnEndOfZeroIsNotDropped(t *testing.T) {
	for _, end := range []string{"0", "99", "100"} {
		_, err := get("assemblyId=GRCh37&referenceName=22&start=100&referenceBases=A&alternateBases=G&end=" + end)
		if !errors.Is(err, query.ErrRequest) || !strings.Contains(err.Error(), "end: ") {
			t.Errorf("end %s: %v", end, err)
		}
	}
}

// What a request leaves out has Beacon's defaults, but every result is listed.
func TestDefaults(t *testing.T) {
	d, err := get(snv)
	if err != nil {
		t.Fatal(err)
	}
	if d.Request.Granularity != query.Boolean || d.Request.Include != "" || d.Request.TestMode || d.NothingAsked || d.Passports != nil {
		t.Errorf("%+v", d)
	}
	// Row 134: record may be asked; what is given is for others to lower.
	if d, err = get(snv + "&requestedGranularity=record"); err != nil || d.Request.Granularity != query.Record {
		t.Errorf("record: %+v, %v", d, err)
	}
}

func TestAProbeAsksNothing(t *testing.T) {
	for _, text := range []string{"", "requestedGranularity=count", "limit=1&skip=0", "testMode=true"} {
		if d, err := get(text); err != nil || !d.NothingAsked {
			t.Errorf("%q: %+v, %v", text, d, err)
		}
	}
	for _, body := range []string{`{}`, `{"meta":{"apiVersion":"v2.0"}}`, `{"query":{"requestParameters":{}}}`} {
		if d, err := post(body); err != nil || !d.NothingAsked {
			t.Errorf("%s: %+v, %v", body, d, err)
		}
	}
	for _, text := range []string{"requestedGranularity=all", "datasets=cohort", "testMode=yes", "limit=-1"} {
		if _, err := get(text); !errors.Is(err, query.ErrRequest) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A parameter that is not served is named, never dropped.
func TestUnservedParametersAreNamed(t *testing.T) {
	const variant = `"assemblyId":"GRCh37","referenceName":"22","start":[5],"referenceBases":"A","alternateBases":"G"`
	inParameters := func(more string) string {
		return `{"query":{"requestParameters":{"g_variant":{` + variant + `,` + more + `}}}}`
	}
	for body, name := range map[string]string{
		inParameters(`"geneId":"BRCA1"`):                                                      "geneId",
		inParameters(`"aminoacidChange":"V600E"`):                                             "aminoacidChange",
		inParameters(`"genomicAlleleShortForm":"NM_1:c.1A>T"`):                                "genomicAlleleShortForm",
		inParameters(`"variantType":"DEL"`):                                                   "variantType",
		inParameters(`"variantMinLength":0`):                                                  "variantMinLength",
		inParameters(`"variantMaxLength":5`):                                                  "variantMaxLength",
		inParameters(`"mateName":"9"`):                                                        "mateName",
		inParameters(`"colour":"red"`):                                                        "colour",
		inParameters(`"requestedGranularity":"count"`):                                        "requestedGranularity",
		inParameters(`"Start":[7]`):                                                           "Start",
		`{"query":{"filters":[{"id":"HP:1"}],"requestParameters":{` + variant + `}}}`:         "filters",
		`{"query":{"filters":["HP:1"],"requestParameters":{` + variant + `}}}`:                "filters",
		`{"query":{"filters":{"id":"HP:1"},"requestParameters":{` + variant + `}}}`:           "filters",
		`{"filters":["HP:1"],"query":{"requestParameters":{` + variant + `}}}`:                "filters",
		`{"query":{"assemblyId":"GRCh37"}}`:                                                   "assemblyId",
		`{"query":{"pagination":{"nextPage":"x"}}}`:                                           "nextPage",
		`{"query":{"pagination":{"page":1}}}`:                                                 "page",
		`{"meta":{"who":"me"}}`:                                                               "who",
		`{"what":1}`:                                                                          "what",
		`{"query":{"requestParameters":{"datasets":{"ids":["a"]}}}}`:                          "ids",
		`{"query":{"datasets":["a"],"requestParameters":{"datasets":["b"],` + variant + `}}}`: "datasets",
		`{"query":{"requestParameters":{"start":[5],"g_variant":{` + variant + `}}}}`:         "start",
		`{"query":{"requestedGranularity":"count"},"requestedGranularity":"boolean"}`:         "requestedGranularity",
	} {
		_, err := post(body)
		if !errors.Is(err, query.ErrRequest) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v; want an error that names %s", body, err, name)
		}
	}
	for text, name := range map[string]string{
		snv + "&geneid=BRCA1":                                                                     "geneid",
		snv + "&allele=NM_1:c.1A>T":                                                               "allele",
		snv + "&filters=HP:1":                                                                     "filters",
		snv + "&variantType=SNP":                                                                  "variantType",
		snv + "&colour=red":                                                                       "colour",
		snv + "&colour=":                                                                          "colour",
		snv + "&start=7":                                                                          "start",
		snv + "&assemblyId=GRCh38":                                                                "assemblyId",
		snv + "&datasets=a&datasetIds=b":                                                          "datasets",
		snv + "&requestedGranularity=much":                                                        "requestedGranularity",
		snv + "&includeResultsetResponses=hit":                                                    "includeResultsetResponses",
		snv + "&datasets=" + strings.Repeat("a,", 200):                                            "datasets",
		snv + "&datasets=..%2Fetc":                                                                "datasets",
		snv + "&apiVersion=%0a":                                                                   "apiVersion",
		snv + "&requestedSchema=%3Cscript%3E":                                                     "requestedSchema",
		"referenceName=22&start=5&end=6":                                                          "assemblyId",
		"assemblyId=GRCh37&start=5&end=6":                                                         "referenceName",
		"assemblyId=GRCh37&referenceName=22&end=6":                                                "start",
		"assemblyId=GRCh37&referenceName=22&start=5":                                              "alternateBases",
		"assemblyId=T2T&referenceName=22&start=5":                                                 "assemblyId",
		"assemblyId=GRCh37&referenceName=99&start=5":                                              "referenceName",
		"assemblyId=GRCh37&referenceName=22&start=5,9":                                            "start",
		"assemblyId=GRCh37&referenceName=22&start=five":                                           "start",
		"assemblyId=GRCh37&referenceName=22&start=-5":                                             "start",
		"assemblyId=GRCh37&referenceName=22&start=1e3":                                            "start",
		"assemblyId=GRCh37&referenceName=22&start=1.0":                                            "start",
		"assemblyId=GRCh37&referenceName=22&start=5&end=0":                                        "end",
		"assemblyId=GRCh37&referenceName=22&start=5&end=5":                                        "end",
		"assemblyId=GRCh37&referenceName=22&start=5&end=7,9":                                      "end",
		"assemblyId=GRCh37&referenceName=22&start=5&end=99999999":                                 "end",
		"assemblyId=GRCh37&referenceName=22&start=5&end=999999999999999999999":                    "end",
		"assemblyId=GRCh37&referenceName=22&start=5&referenceBases=A&alternateBases=":             "alternateBases",
		"assemblyId=GRCh37&referenceName=22&start=5&end=9&referenceBases=":                        "referenceBases",
		"assemblyId=GRCh37&referenceName=22&start=5&referenceBases=A&alternateBases=N":            "alternateBases",
		"assemblyId=GRCh37&referenceName=22&start=5&referenceBases=A&alternateBases=%3CDEL%3E":    "alternateBases",
		"assemblyId=GRCh37&referenceName=22&start=5&referenceBases=A&alternateBases=A":            "alternateBases",
		"assemblyId=GRCh37&referenceName=22&start=5&referenceBases=A&alternateBases=G&limit=many": "limit",
	} {
		_, err := get(text)
		if !errors.Is(err, query.ErrRequest) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v; want an error that names %s", text, err, name)
		}
	}
}

const secret = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"

// Row 137: a token in a URL, or anywhere but in passports, is refused and never
// repeated.
func TestMisplacedTokensAreRefusedAndNotRepeated(t *testing.T) {
	for _, text := range []string{
		"passports=" + secret, "passport=" + secret, "access_token=opaque-secret-value", "id_token=" + secret,
		"Authorization=Bearer+" + secret, secret, secret + "=1", "assemblyId=" + secret, "datasets=a," + secret,
		"start=" + secret, "requestedSchema=" + secret, "x=" + secret, "apiVersion=" + secret, "visa=opaque-secret-value",
		"jwt=opaque-secret-value", "filters=" + secret,
	} {
		for _, question := range []string{text, snv + "&" + text} {
			_, err := get(question)
			refusedQuietly(t, question, err)
		}
		values, _ := url.ParseQuery(text)
		refusedQuietly(t, "info?"+text, beacon.CheckInfo(values))
		refusedQuietly(t, "POST?"+text, beacon.CheckNoURL(values))
	}
	for _, body := range []string{
		`{"access_token":"opaque-secret-value"}`, `{"` + secret + `":1}`, `{"passport":"` + secret + `"}`, `{"passports":"` + secret + `"}`,
		`{"passports":[{"a":"` + secret + `"}]}`, `{"passports":["` + secret + `",null]}`, `{"meta":{"apiVersion":"` + secret + `"}}`,
		`{"query":{"token":"opaque-secret-value"}}`, `{"query":{"requestParameters":{"assemblyId":"` + secret + `"}}}`,
		`{"query":{"requestParameters":{"g_variant":{"` + secret + `":1}}}}`, `{"query":{"datasets":["` + secret + `"]}}`,
		`{"query":{"filters":["` + secret + `"]}}`, `{"meta":{"requestedSchemas":[{"schema":"` + secret + `"}]}}`,
		`{"` + secret + `":1,"` + secret + `":2}`, `{"query":{"` + secret + `":{}}}`, `{"passports":["` + secret + `"`,
	} {
		_, err := post(body)
		refusedQuietly(t, body, err)
	}
}

func refusedQuietly(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, query.ErrRequest) {
		t.Errorf("%s: %v; want a refusal", what, err)
		return
	}
	for _, piece := range []string{secret, secret[:20], "opaque-secret", "eyJ"} {
		if strings.Contains(err.Error(), piece) {
			t.Errorf("%s: the refusal repeats it: %v", what, err)
		}
	}
}

// Row 136: passports are taken, kept apart, and printed nowhere.
func TestPassportsStayOutOfEverythingPrinted(t *testing.T) {
	d, err := post(`{"passports":["` + secret + `","second"],"meta":{"apiVersion":"v2.0"},"query":{"requestedGranularity":"count","requestParameters":` +
		`{"assemblyId":"GRCh37","referenceName":"22","start":[5],"end":[9]}}}`)
	if err != nil || !slices.Equal(d.Passports, []string{secret, "second"}) {
		t.Fatalf("%v, %v", d.Passports, err)
	}
	document, err := json.Marshal(beacon.Results(uhn(), d, everyStatus()))
	if err != nil {
		t.Fatal(err)
	}
	encoded, _ := json.Marshal(d)
	for name, text := range map[string]string{
		"document": string(document), "json": string(encoded), "%v": fmt.Sprintf("%v", d), "%+v": fmt.Sprintf("%+v", d), "%#v": fmt.Sprintf("%#v", d),
		"log": d.Passports.LogValue().String(),
	} {
		if strings.Contains(text, "eyJ") || strings.Contains(text, "second") {
			t.Errorf("%s shows a passport: %s", name, text)
		}
	}
}

// Row 103, row 107: the body means one thing only.
func TestBodiesAreStrictJSON(t *testing.T) {
	for _, body := range []string{
		``, `null`, `[]`, `"x"`, `{} {}`, `{}x`, `{"query":{},"query":{}}`, `{"query":{"requestParameters":{"start":[1],"start":[2]}}}`,
		"{\"\xff\":1}", `{"query":[]}`, `{"query":"x"}`, `{"meta":[1]}`, `{"meta":{"requestedSchemas":"x"}}`, `{"query":{"pagination":1}}`,
		`{"query":{"requestParameters":{"g_variant":[]}}}`, `{"query":{"requestParameters":{"start":{"a":1}}}}`, `{"query":{"requestParameters":{"start":[[1]]}}}`,
		`{"query":{"requestParameters":{"start":[null]}}}`, `{"passports":null,"passports":[]}`,
		strings.Repeat(`{"query":`, 5000) + `1` + strings.Repeat(`}`, 5000), `{"datasets":[` + strings.Repeat(`"a",`, 500) + `"a"]}`,
		strings.Repeat(" ", beacon.MaxBody) + "{}",
	} {
		if _, err := post(body); !errors.Is(err, query.ErrRequest) {
			t.Errorf("%.80q: %v; want a refusal", body, err)
		}
	}
}

func TestDecodePassports(t *testing.T) {
	if p, err := beacon.DecodePassports([]byte(`{"passports":["` + secret + `"]}`)); err != nil || len(p) != 1 || p[0] != secret {
		t.Errorf("%v, %v", p, err)
	}
	if p, err := beacon.DecodePassports([]byte(`{}`)); err != nil || len(p) != 0 {
		t.Errorf("%v, %v", p, err)
	}
	for _, body := range []string{`{"passports":[],"query":{}}`, `{"passports":"` + secret + `"}`, `{"access_token":"opaque-secret-value"}`, `{"passports":[1]}`, `{"passports":[],"passports":[]}`} {
		_, err := beacon.DecodePassports([]byte(body))
		refusedQuietly(t, body, err)
	}
}

func TestInfoEndpointsTakeNoParameters(t *testing.T) {
	if err := beacon.CheckInfo(url.Values{"requestedSchema": {"beacon-info-v2.0.0"}, "limit": {"0"}}); err != nil {
		t.Error(err)
	}
	for _, v := range []url.Values{{"colour": {"red"}}, {"start": {"1"}}, {"filters": {"x"}}, {"": {"x"}}} {
		if err := beacon.CheckInfo(v); !errors.Is(err, query.ErrRequest) {
			t.Errorf("%v: %v", v, err)
		}
	}
	if err := beacon.CheckNoURL(nil); err != nil {
		t.Error(err)
	}
	if err := beacon.CheckNoURL(url.Values{"start": {"1"}}); !errors.Is(err, query.ErrRequest) {
		t.Error(err)
	}
}
