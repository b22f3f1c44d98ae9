package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/candignode/candignode/configs"
)

func TestANewSitesConfigurationLoads(t *testing.T) {
	dir := site(t)
	path := filepath.Join(dir, "candignode.yaml")
	for name, o := range map[string]InitOptions{
		"only what is required": {Name: "uhn", DataDir: "state"},
		"everything": {Name: "uhn", DisplayName: `University "Health": #1 Network é`, DataDir: dir, Listen: "127.0.0.1:0",
			Advertise: "node.uhn.example.org:7946", Network: "north", NodeKey: "keys/node.key", API: "0.0.0.0:8443",
			ExternalURL: "https://node.uhn.example.org", TLSCert: "tls/cert.pem", TLSKey: "tls/key.pem", AdminSocket: "admin.sock"},
	} {
		t.Run(name, func(t *testing.T) {
			o.Path = path
			text, err := Render(o)
			if err != nil {
				t.Fatal(err)
			}
			c := mustLoad(t, dir, string(text))
			if string(c.Site.Name) != o.Name || o.DisplayName != "" && c.Site.DisplayName != o.DisplayName {
				t.Errorf("site %+v", c.Site)
			}
			if len(c.Issuers)+len(c.DatasetList)+len(c.Peers()) != 0 {
				t.Error("the examples of the manual are in force")
			}
			if len(c.Warnings()) != 1 { // no issuers yet
				t.Errorf("warnings %v", c.Warnings())
			}
			if o.NodeKey == "" && c.Federation.NodeKey != filepath.Join(dir, "state", "node.key") {
				t.Errorf("node key %s", c.Federation.NodeKey)
			}
			if o.NodeKey != "" && (c.Federation.NodeKey != filepath.Join(dir, o.NodeKey) || c.API.Listen != o.API ||
				c.Federation.Advertise != o.Advertise || c.Federation.Network != o.Network || c.API.ExternalURL != o.ExternalURL ||
				c.Admin.Socket != filepath.Join(dir, o.AdminSocket) || !c.API.TLS.Enabled() || c.Federation.Listen != o.Listen) {
				t.Errorf("values were lost: %+v", c)
			}
		})
	}
}

// Whoever takes the "# " out of the new file has the manual's examples.
func TestTheExamplesComeBackByUncommenting(t *testing.T) {
	text, err := Render(InitOptions{Path: "/nowhere/candignode.yaml", Name: "uhn", DataDir: "/var/lib/candignode"})
	if err != nil {
		t.Fatal(err)
	}
	manual, own := strings.Split(string(configs.Example()), "\n"), strings.Split(string(text), "\n")
	if len(manual) != len(own) {
		t.Fatalf("%d lines became %d", len(manual), len(own))
	}
	var hidden int
	for i := range manual {
		if manual[i] == own[i] || strings.Contains(own[i], `uhn"`) || strings.HasPrefix(own[i], "data_dir") {
			continue
		}
		if strings.Replace(own[i], "# ", "", 1) != manual[i] {
			t.Errorf("line %d: %q cannot be turned back into %q", i+1, own[i], manual[i])
		}
		hidden++
	}
	if hidden < 50 {
		t.Errorf("only %d lines were commented out", hidden)
	}
}

func TestValuesThatMakeNoSiteAreRefused(t *testing.T) {
	_, err := Render(InitOptions{Path: "/nowhere/candignode.yaml", Name: "UHN!", DataDir: "/d", API: "0.0.0.0:80", Advertise: "nowhere"})
	var p *Problems
	if !errors.As(err, &p) || len(p.List) != 3 {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat("/nowhere"); err == nil {
		t.Error("something was written")
	}
}
