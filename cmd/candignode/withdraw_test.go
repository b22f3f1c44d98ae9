package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

// A revocation through the daemon's socket acts in the running daemon, and the state
// file that it holds is not touched by anybody else (row 62).
func TestAccessIsTakenBackWhileTheDaemonRuns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s") // a socket's path is short
	command := func(args ...string) (string, string, int) {
		var out, errs bytes.Buffer
		code := run(args, &out, &errs)
		return out.String(), errs.String(), code
	}
	if _, errs, code := command("init", "--dir", dir, "--name", "uhn"); code != exitDone {
		t.Fatal(errs)
	}
	file := filepath.Join(dir, "candignode.yaml")
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	state, err := store.Open(node.StatePath(c), store.Options{MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	socket, err := new(net.ListenConfig).Listen(context.Background(), "unix", c.Admin.Socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: admin.New(admin.Options{
		Store: state, Now: time.Now, Log: slog.New(slog.DiscardHandler), Status: func() admin.Status { return admin.Status{} },
	})}
	go server.Serve(socket)
	defer server.Close()

	mallory := trust.Identity{Issuer: "https://idp.example.org/", Subject: "mallory"}
	out, errs, code := command("revoke", "add", "--iss", mallory.Issuer, "--sub", mallory.Subject, "--json", "--config", file)
	var r trust.Revocation
	if err := json.Unmarshal([]byte(out), &r); code != exitDone || err != nil {
		t.Fatal(code, errs, err)
	}
	if !state.Revocations().Identity(mallory) {
		t.Error("the running daemon does not know of the revocation")
	}
	if out, errs, code := command("revoke", "remove", r.ID, "--config", file); code != exitDone || !strings.Contains(out, "mallory at") {
		t.Error(out, errs, code)
	}
	if state.Revocations().Identity(mallory) {
		t.Error("the running daemon still revokes")
	}

	v := access.Session{
		ID: "aa01", TokenDigest: trust.DigestOfString("cgs_x"), Identity: mallory, Created: time.Now(),
		Used: time.Now(), Until: time.Now().Add(time.Hour), Label: "curl\x1b[2J",
	}
	if err := state.AddSession(t.Context(), v, audit.Record{Time: time.Now(), Event: audit.EventSession, Outcome: "begun"}); err != nil {
		t.Fatal(err)
	}
	out, _, _ = command("sessions", "list", "--sub", "mallory", "--config", file)
	if !strings.Contains(out, "aa01") || strings.Contains(out, "\x1b") {
		t.Errorf("listed %q", out)
	}
	if out, _, _ := command("sessions", "list", "--sub", "alice", "--config", file); strings.Contains(out, "aa01") {
		t.Errorf("listed %q", out)
	}
	if out, errs, code := command("sessions", "end", "aa01", "--config", file); code != exitDone || !strings.Contains(out, "ended: the session of mallory") {
		t.Error(out, errs, code)
	}
	if _, ok := state.SessionByToken(v.TokenDigest); ok {
		t.Error("the running daemon still has the session")
	}
}

// What is revoked is exactly one thing.
func TestFlagsOfARevocation(t *testing.T) {
	digest := trust.DigestOfString("token")
	for _, c := range []struct {
		iss, sub, jti, token, key, issuer string
		want                              trust.Revocation // the zero one: a usage error
	}{
		{iss: "i", sub: "s", want: trust.Revocation{Kind: trust.RevokeIdentity, Issuer: "i", Subject: "s"}},
		{jti: "j", want: trust.Revocation{Kind: trust.RevokeJTI, JTI: "j"}},
		{jti: "j", iss: "i", want: trust.Revocation{Kind: trust.RevokeJTI, JTI: "j", Issuer: "i"}},
		{token: digest.String(), want: trust.Revocation{Kind: trust.RevokeToken, Token: digest}},
		{key: "k", want: trust.Revocation{Kind: trust.RevokeKey, Key: "k"}},
		{issuer: "i", want: trust.Revocation{Kind: trust.RevokeIssuer, Issuer: "i"}},
		{},
		{iss: "i"}, {sub: "s"}, {jti: "j", sub: "s"}, {key: "k", iss: "i"}, {issuer: "i", sub: "s"},
		{token: digest.String(), key: "k"}, {token: "not a digest"}, {issuer: "i", iss: "i", jti: "j"},
	} {
		why := ""
		f := revocationFlags{&c.iss, &c.sub, &c.jti, &c.token, &c.key, &c.issuer, &why}
		got, err := f.revocation()
		switch {
		case c.want.Kind == "" && exitCode(err) != exitUsage:
			t.Errorf("%+v: %+v, %v", c, got, err)
		case c.want.Kind != "" && (err != nil || got != c.want):
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
}
