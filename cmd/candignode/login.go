package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/oidc"
)

// defaultScopes make an access token passport-scoped (GA4GH AAI 1.2,
// "Passport-Scoped Access Token").
var defaultScopes = []string{"openid", "ga4gh_passport_v1"}

// loginTime is longer than any provider lets a person think about it.
const loginTime = 20 * time.Minute

func loginCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "login", Short: "Sign in, so that whoami and query need no passport file", Args: noArgs,
		Long: `Sign in at an identity provider that the node trusts, with a browser on this machine
or on another one, so that whoami and query need no passport file.

The tokens are kept in a file that only you can read, and renewed as they run out;
'candignode logout' removes them. With --session the node keeps them instead, and the
file holds a session of that one node.`,
	}
	who, asJSON := researcherFlags(cmd, loginTime), jsonFlag(cmd)
	f := cmd.Flags()
	l := login{
		issuer:   f.String("issuer", "", "which provider, if the node takes several"),
		clientID: f.String("client-id", "", "this program's client id there (default: what the node says)"),
		scopes:   f.StringSlice("scope", nil, "scopes to ask for (default: openid and ga4gh_passport_v1)"),
		browser:  f.Bool("browser", false, "use a browser on this machine, also if the provider could use another device"),
		session:  f.Bool("session", false, "keep a session of the node instead of the provider's tokens"),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), *who.timeout)
		defer cancel()
		l.notes = cmd.ErrOrStderr()
		done, err := l.run(ctx, who)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), done)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "signed in at %s with %s\n", printable(done.Node), printable(done.Issuer))
		if done.Until != nil && !done.Renews {
			fmt.Fprintf(cmd.OutOrStdout(), "until %s\n", when(*done.Until))
		}
		return nil
	}
	return cmd
}

// login are the flags of the command.
type login struct {
	issuer, clientID *string
	scopes           *[]string
	browser, session *bool
	notes            io.Writer
}

// loggedIn is what `login --json` prints. It holds no token.
type loggedIn struct {
	Node    string     `json:"node"`
	Issuer  string     `json:"issuer"`
	Until   *time.Time `json:"until,omitempty"` // end of the token or session, if anybody said
	Renews  bool       `json:"renews"`          // it is renewed by itself
	Session bool       `json:"session"`
	File    string     `json:"file"` // where it is kept
}

func (l login) run(ctx context.Context, who researcher) (loggedIn, error) {
	node, err := nodeName(*who.url)
	if err != nil {
		return loggedIn{}, err
	}
	ca, err := who.caPEM()
	if err != nil {
		return loggedIn{}, err
	}
	file, err := openTokenFile()
	if err != nil {
		return loggedIn{}, err
	}
	// Whatever is wrong with the file is found before the person signs in.
	before, err := file.get(node)
	if err != nil && !errors.Is(err, errNoSignIn) {
		return loggedIn{}, err
	}
	if ca == "" {
		ca = before.CAPEM
	}
	client, err := nodeClient(node, ca)
	if err != nil {
		return loggedIn{}, err
	}
	public, err := l.way(ctx, client)
	if err != nil {
		return loggedIn{}, err
	}
	public.Client = client.HTTP
	tokens, err := l.signIn(ctx, public)
	if err != nil {
		return loggedIn{}, err
	}
	s := &signIn{
		Issuer: public.Issuer, ClientID: public.ClientID, Scopes: public.Scopes, CAPEM: ca,
		Access: tokens.Access, Refresh: tokens.Refresh, Expires: tokens.Expires,
	}
	if *l.session {
		if err := s.becomeSession(ctx, client); err != nil {
			return loggedIn{}, err
		}
	}
	unlock, err := file.lock(ctx)
	if err != nil {
		return loggedIn{}, err
	}
	defer unlock()
	done := loggedIn{Node: node, Issuer: s.Issuer, Renews: !s.Refresh.IsZero(), Session: *l.session, File: file.path}
	if !s.Expires.IsZero() {
		until := s.Expires.UTC()
		done.Until = &until
	}
	return done, file.put(node, s)
}

// way asks the node with whom to sign in.
func (l login) way(ctx context.Context, client api.Client) (oidc.Public, error) {
	public := oidc.Public{Issuer: *l.issuer, ClientID: *l.clientID, Scopes: *l.scopes}
	resource, err := client.Resource(ctx)
	if problem, ok := errors.AsType[*api.Problem](err); ok && problem.Status == 404 {
		return public, fmt.Errorf("%s does not say how to sign in there: ask its operator, or give a passport with --passport", client.BaseURL)
	} else if err != nil {
		return public, err
	}
	// Another node's page would lead to another node's provider (RFC 9728, section
	// 3.3).
	if strings.TrimSuffix(resource.Resource, "/") != client.BaseURL {
		return public, fmt.Errorf("%s says that it is %.200q: ask it under that address, or tell its operator to correct api.external_url", client.BaseURL, resource.Resource)
	}
	if len(public.Scopes) == 0 {
		public.Scopes = defaultScopes
	}
	var issuers []string
	for _, way := range resource.SignIn {
		issuers = append(issuers, way.Issuer)
	}
	at := slices.Index(issuers, public.Issuer)
	switch {
	case public.Issuer == "" && len(issuers) == 1:
		at = 0
	case public.Issuer == "" && len(issuers) == 0:
		return public, fmt.Errorf("nobody can sign in at %s from the command line: its operator has set no client.command_line_id; sign in at %s/login with a browser, or give a passport with --passport", client.BaseURL, client.BaseURL)
	case public.Issuer == "":
		return public, usage("%s takes several providers; choose one with --issuer:\n  %s", client.BaseURL, strings.Join(each(issuers, printable), "\n  "))
	case at < 0 && (public.ClientID == "" || !slices.Contains(resource.AuthorizationServers, public.Issuer)):
		return public, usage("%s does not take %.200q from the command line; it takes:\n  %s", client.BaseURL, public.Issuer, strings.Join(each(issuers, printable), "\n  "))
	}
	if at >= 0 {
		public.Issuer = issuers[at]
		if public.ClientID == "" {
			public.ClientID = resource.SignIn[at].ClientID
		}
	}
	return public, nil
}

func each(texts []string, f func(string) string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = f(text)
	}
	return out
}

// signIn uses another device, or this machine's browser where the provider knows
// nothing else.
func (l login) signIn(ctx context.Context, public oidc.Public) (bearer.Tokens, error) {
	if !*l.browser {
		tokens, err := public.Device(ctx, func(d oidc.DeviceCode) {
			fmt.Fprintf(l.notes, "Open  %s\nand type  %s\n", d.Address, d.UserCode)
			if d.AddressFull != "" {
				fmt.Fprintf(l.notes, "or open  %s\n", d.AddressFull)
			}
			fmt.Fprintf(l.notes, "in any browser before %s. Waiting ...\n", d.Expires.Local().Format("15:04"))
		})
		if !errors.Is(err, oidc.ErrNoDeviceFlow) {
			return tokens, err
		}
	}
	return public.Loopback(ctx, func(address string) {
		fmt.Fprintf(l.notes, "Open in a browser on this machine:\n  %s\nWaiting ...\n", address)
	})
}

// becomeSession lets the node keep the tokens, and keeps what it gives for them.
func (s *signIn) becomeSession(ctx context.Context, client api.Client) error {
	client.Bearer = s.Access.Reveal
	session, err := client.StartSession(ctx, api.SessionRequest{})
	if err != nil {
		return err
	}
	if session.Token == "" {
		return errors.New("the node began a session and gave no token for it")
	}
	s.Session, s.ID, s.Expires = trust.NewAccessToken(session.Token), session.ID, session.Until
	s.Access, s.Refresh = trust.AccessToken{}, trust.AccessToken{}
	return nil
}

func logoutCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "logout", Short: "Forget a sign-in, and end its session at the node", Args: noArgs}
	who := researcherFlags(cmd, askTime)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), *who.timeout)
		defer cancel()
		node, err := nodeName(*who.url)
		if err != nil {
			return err
		}
		s, err := forget(ctx, node)
		switch {
		case errors.Is(err, errNoSignIn):
			fmt.Fprintf(cmd.OutOrStdout(), "you were not signed in at %s\n", printable(node))
			return nil
		case err != nil:
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "signed out at %s\n", printable(node))
		return s.endSession(ctx, who, node)
	}
	return cmd
}

// forget removes a sign-in from the file first: whatever the network does, this
// machine knows nothing of it any more.
func forget(ctx context.Context, node string) (signIn, error) {
	file, err := openTokenFile()
	if err != nil {
		return signIn{}, err
	}
	unlock, err := file.lock(ctx)
	if err != nil {
		return signIn{}, err
	}
	defer unlock()
	s, err := file.get(node)
	if err != nil {
		return signIn{}, err
	}
	return s, file.put(node, nil)
}

func (s signIn) endSession(ctx context.Context, who researcher, node string) error {
	if s.Session.IsZero() || s.ID == "" {
		return nil
	}
	ca, err := who.caPEM()
	if err != nil {
		return err
	}
	if ca == "" {
		ca = s.CAPEM
	}
	client, err := nodeClient(node, ca)
	if err != nil {
		return err
	}
	client.Bearer = s.Session.Reveal
	err = client.EndSession(ctx, s.ID)
	if problem, ok := errors.AsType[*api.Problem](err); ok && (problem.Status == 401 || problem.Status == 404) {
		return nil // it had ended
	}
	if err != nil {
		return fmt.Errorf("the session at the node could not be ended, and ends by itself at %s: %w", when(s.Expires), err)
	}
	return nil
}

func when(t time.Time) string { return t.Local().Format("2006-01-02 15:04 MST") }
