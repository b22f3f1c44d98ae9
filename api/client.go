package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// ErrCutOff is returned when a node's answer ended in the middle. Nothing of it
// may be taken as the answer.
var ErrCutOff = errors.New("the node's answer broke off; ask again")

// ErrInsecure is returned for a token that would go over an open line.
var ErrInsecure = errors.New("a token is only sent over https, or to this machine itself")

// Client asks one node. The zero HTTP client is http.DefaultClient without
// redirects: a redirect could carry passports to another host.
type Client struct {
	BaseURL string // "https://node.example.org", without a path
	HTTP    *http.Client
	// Bearer gives the access token or session token that goes with every question;
	// nil: none does. It is a func, so that no Client prints it. A token only
	// goes over https, or to this machine itself.
	Bearer func() string
}

// Question is one variant question, 0-based and half-open. End 0 asks for
// exactly the allele Ref>Alt at Start.
type Question struct {
	Assembly    string
	Chrom       string
	Start       int64
	End         int64
	Ref         string
	Alt         string
	Granularity string   // boolean, count or record
	Datasets    []string // empty: all
	TestMode    bool     // answered from made-up data
	SiteOnly    bool     // ask this node's own site, not the network
	Passports   []string
}

// Whoami asks who the node takes the bearer of the passports, or of the token, to
// be. A refusal is a *Problem.
func (c Client) Whoami(ctx context.Context, passports []string) (Whoami, error) {
	response, err := c.post(ctx, "/v1/whoami", "application/json", WhoamiRequest{Passports: passports})
	if err != nil {
		return Whoami{}, err
	}
	return decode[Whoami](response, "whoami", maxLineBytes)
}

// Query asks the question. each, if not nil, is called for every site as its
// part arrives; the Answer at the end holds all of them. A refusal is a
// *Problem; an answer that broke off wraps ErrCutOff.
func (c Client) Query(ctx context.Context, q Question, each func(Site)) (Answer, error) {
	path := "/network/beacon/g_variants"
	if q.SiteOnly {
		path = "/beacon/g_variants"
	}
	response, err := c.post(ctx, path, MediaTypeLines, q.body())
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != MediaTypeLines {
		return Answer{}, fmt.Errorf("the answer is %.40q, not %s: is this a candignode?", kind, MediaTypeLines)
	}
	return readLines(response.Body, each)
}

func readLines(body io.Reader, each func(Site)) (Answer, error) {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), maxLineBytes)
	for n := 0; n < maxLines && lines.Scan(); n++ {
		var line Line
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return Answer{}, fmt.Errorf("%w (line %d is not whole)", ErrCutOff, n+1)
		}
		switch {
		case line.Problem != nil:
			return Answer{}, line.Problem
		case line.Answer != nil:
			return *line.Answer, nil
		case line.Part != nil && each != nil:
			each(*line.Part)
		}
	}
	if err := lines.Err(); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrCutOff, err)
	}
	return Answer{}, ErrCutOff
}

// body is the Beacon v2 request of the question.
func (q Question) body() any {
	variant := map[string]any{
		"assemblyId": q.Assembly, "referenceName": q.Chrom, "start": []int64{q.Start},
	}
	if q.End != 0 {
		variant["end"] = []int64{q.End}
	}
	if q.Ref != "" {
		variant["referenceBases"] = q.Ref
	}
	if q.Alt != "" {
		variant["alternateBases"] = q.Alt
	}
	parameters := map[string]any{"g_variant": variant}
	if len(q.Datasets) > 0 {
		parameters["datasets"] = map[string]any{"datasetIds": q.Datasets}
	}
	query := map[string]any{
		"requestParameters": parameters, "requestedGranularity": q.Granularity, "includeResultsetResponses": "ALL",
	}
	if q.TestMode {
		query["testMode"] = true
	}
	request := map[string]any{"meta": map[string]any{"apiVersion": "v2.1.1"}, "query": query}
	if len(q.Passports) > 0 {
		request["passports"] = q.Passports
	}
	return request
}

func (c Client) post(ctx context.Context, path, accept string, body any) (*http.Response, error) {
	return c.send(ctx, http.MethodPost, path, accept, body)
}

// send makes one request. The answer is of a 2xx status; anything else is a
// *Problem.
func (c Client) send(ctx context.Context, method, path, accept string, body any) (*http.Response, error) {
	var encoded []byte
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("question: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.BaseURL, "/")+path, bytes.NewReader(encoded))
	if err != nil {
		return nil, fmt.Errorf("node address: %w", err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("Accept", accept)
	if c.Bearer != nil {
		if !private(request.URL) {
			return nil, fmt.Errorf("%w: %s", ErrInsecure, request.URL.Host)
		}
		request.Header.Set("Authorization", "Bearer "+c.Bearer())
	}
	client := http.Client{}
	if c.HTTP != nil {
		client = *c.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the node: %w", err)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		defer response.Body.Close()
		return nil, problemOf(response)
	}
	return response, nil
}

// private tells whether nobody on the way can read what is sent.
func private(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// problemOf reads either form of an error answer: problem details, or Beacon's
// {meta, error} with the reason in info.
func problemOf(response *http.Response) *Problem {
	problem := &Problem{Type: "about:blank", Title: http.StatusText(response.StatusCode), Status: response.StatusCode}
	body, err := readAll(response.Body, maxErrorBytes)
	if err != nil {
		return problem
	}
	var either struct {
		Title       string `json:"title"`
		Detail      string `json:"detail"`
		Reason      string `json:"reason"`
		Transaction string `json:"transaction"`
		Error       struct {
			Message string `json:"errorMessage"`
		} `json:"error"`
		Info struct {
			Reason      string `json:"reason"`
			Transaction string `json:"transaction"`
		} `json:"info"`
	}
	if json.Unmarshal(body, &either) != nil {
		return problem
	}
	problem.Title = firstOf(either.Title, problem.Title, "the node refused")
	problem.Detail = firstOf(either.Detail, either.Error.Message)
	problem.Reason = firstOf(either.Reason, either.Info.Reason)
	problem.Transaction = firstOf(either.Transaction, either.Info.Transaction)
	return problem
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func readAll(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCutOff, err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("the node sent more than %d bytes", limit)
	}
	return body, nil
}
