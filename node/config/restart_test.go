package config

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/candignode/candignode/configs"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// What a node signs with is of the start: a key file that was replaced under its name
// needs a restart as much as another name does, and a reload says so.
func TestReplacedKeyFilesNeedARestart(t *testing.T) {
	signing := func(path string) error {
		_, err := CreateSigningKey(path)
		return err
	}
	clients := func(path string) error {
		key, err := CreateSigningKey(path + ".private")
		if err != nil {
			return err
		}
		set, err := jose.MarshalKeySet([]trust.Key{{Public: key.Public()}})
		if err != nil {
			return err
		}
		return os.WriteFile(path, set, 0o600)
	}
	for _, c := range []struct {
		file, key string
		replace   func(path string) error
	}{
		{"keys/subjects.key", "signing.subjects_key", CreateSubjectsKey},
		{"keys/visa.key", "dac.key", signing},
		{"keys/passport.key", "broker.key", signing},
		{"keys/link.key", "broker.link_key", signing},
		{"keys/portal.jwks.json", "broker.clients[0].jwks_file", clients},
	} {
		dir := site(t)
		running := mustLoad(t, dir, string(configs.Example()))
		if keys := Changes(running, mustLoad(t, dir, string(configs.Example()))); keys != nil {
			t.Errorf("nothing was replaced, and %v is named", keys)
		}
		path := filepath.Join(dir, c.file)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := c.replace(path); err != nil {
			t.Fatal(err)
		}
		if keys := Restart(running, mustLoad(t, dir, string(configs.Example()))); !slices.Equal(keys, []string{c.key}) {
			t.Errorf("%s was replaced, and %v need a restart", c.file, keys)
		}
	}
}
