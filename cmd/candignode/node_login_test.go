package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/simulate/idp"
)

const signInConfig = `site: {name: uhn}
data_dir: .
federation: {listen: "127.0.0.1:0", advertise: "127.0.0.1:7946"}
api: {listen: "%[1]s", external_url: "http://%[1]s"}
issuers:
  - issuer: %[2]s
    kinds: [login, passport]
    mode: direct
    client_ids: [uhn-node, command-line]
    tokens: userinfo
    sign_in: true
    client: {id: uhn-node, command_line_id: command-line, secret_file: secret}
    ca_file: ca.pem
    allow_private_addresses: true
  - issuer: %[3]s
    kinds: [visa]
    mode: direct
    jku: [%[3]s/jwks]
    visa_types: [ControlledAccessGrants]
    sources: ["https://dac.example.org"]
    ca_file: ca.pem
    allow_private_addresses: true
`

// A person signs in at a node from the command line, with the provider that the
// node's metadata names (row 111), and is told what counts there.
func TestSignInAtARealNode(t *testing.T) {
	dir := t.TempDir()
	issuers, closer, err := idp.Serve(t.Context(), filepath.Join(dir, "issuers"), provider, "dac")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fatal(issuers.Register(provider, idp.Researcher{Subject: "rosalind", Visas: []idp.Grant{
		{Value: "https://dac.example.org/d1", Source: "https://dac.example.org"}, {Value: "https://dac.example.org/d1", Source: "https://other.example.org"},
	}}))
	fatal(issuers.AddClients(provider, idp.Client{ID: "command-line"}, idp.Client{ID: "uhn-node", Secret: "a-secret-of-the-node-0123456789"}))
	fatal(issuers.Behave(provider, func(b *idp.Behaviour) { b.ApproveDevices = true }))
	ca := filepath.Join(dir, "ca.pem")
	fatal(os.WriteFile(ca, issuers.CAPEM(), 0o600))
	fatal(os.WriteFile(filepath.Join(dir, "secret"), []byte("a-secret-of-the-node-0123456789\n"), 0o600))
	var lc net.ListenConfig
	door, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	fatal(err)
	peers, err := lc.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	fatal(err)
	path := filepath.Join(dir, "candignode.yaml")
	fatal(os.WriteFile(path, fmt.Appendf(nil, signInConfig, door.Addr(), issuers.Name(provider), issuers.Name("dac")), 0o600))
	_, err = config.CreateNodeKey(filepath.Join(dir, "node.key"))
	fatal(err)
	c, err := config.Load(path)
	fatal(err)
	fatal(simulate.CreateState(t.Context(), c))
	admin, err := node.ListenAdmin(t.Context(), c.Admin.Socket)
	fatal(err)
	n, err := node.New(t.Context(), node.Options{
		Config: c, Sockets: node.Sockets{Peers: peers, API: door, Admin: admin}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now,
	})
	fatal(err)
	life, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(life) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if n.Settled() == "" {
			break
		}
		<-tick.C
	}
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("CANDIGNODE_PASSPORT_FILE", "")
	t.Setenv("CANDIGNODE_URL", "http://"+door.Addr().String())
	for _, how := range [][]string{{"login", "--ca", ca}, {"login", "--session"}} {
		var out, notes bytes.Buffer
		if code := run(how, io.Discard, &notes); code != exitDone {
			t.Fatalf("%v: exit %d: %s", how, code, &notes)
		}
		if code := run([]string{"whoami"}, &out, &notes); code != exitDone {
			t.Fatalf("%v: whoami: exit %d: %s", how, code, &notes)
		}
		for _, want := range []string{"You are rosalind at " + issuers.Name(provider), "1 of 2 visas count here", "(untrusted_source)"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%v: %q is missing from\n%s", how, want, &out)
			}
		}
	}
	var out, notes bytes.Buffer
	if code := run([]string{"logout"}, &out, &notes); code != exitDone {
		t.Errorf("logout: exit %d: %s", code, &notes)
	}
	if code := run([]string{"whoami"}, &out, &notes); code != exitDenied || !strings.Contains(notes.String(), "candignode login --node") {
		t.Errorf("after logout: exit %d: %s", code, &notes)
	}
}
