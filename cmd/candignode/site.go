package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/trust/roots"
)

func siteCommand() *cobra.Command {
	return group("site", "This site's identity", siteShowCommand(), siteUpdateCommand(), siteRotateCommand(), siteLeaveCommand())
}

func siteShowCommand() *cobra.Command {
	show := &cobra.Command{Use: "show", Short: "Show who this site is: its SiteID for an invite, its NodeID to be pinned, its network", Args: noArgs}
	return onSite(show, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		var status admin.Status
		var self admin.Self
		if err := errors.Join(s.Get(ctx, "/v1/status", nil, &status), s.Get(ctx, "/v1/site", nil, &self)); err != nil {
			return err
		}
		out := show.OutOrStdout()
		if asJSON {
			return printJSON(out, struct {
				admin.Site
				Epoch   int64     `json:"e"`
				Update  int64     `json:"u"`
				Expires time.Time `json:"record_expires"`
				Roots   int       `json:"roots"`
				Joining string    `json:"joining,omitempty"`
			}{status.Site, self.Epoch, self.Update, self.Expires, self.Roots, string(self.Joining)})
		}
		rows := [][]string{
			{"site", string(status.Site.Site)}, {"site id", string(self.ID)}, {"node", string(status.Node)},
			{"reached at", status.Advertise}, {"network", self.Network}, {"network id", self.NetworkID},
			{"record", fmt.Sprintf("epoch %d, update %d, signed by %d of %d root keys, expires %s", self.Epoch, self.Update, self.Threshold, self.Roots, self.Expires.Local().Format(time.DateOnly))},
		}
		if self.Joining != "" {
			rows = append(rows, []string{"joining", "by an invite of " + string(self.Joining) + ", which has not been reached yet"})
		}
		return table(out, []string{"WHAT", "VALUE"}, rows)
	})
}

// ownChain gets this site's records and verifies them again: what is signed next follows them.
func ownChain(ctx context.Context, s site) (*roots.Chain, error) {
	var self admin.Self
	if err := s.Get(ctx, "/v1/site", nil, &self); err != nil {
		return nil, err
	}
	return roots.Open(self.Records)
}

func putRecord(ctx context.Context, s site, c *roots.Chain, node ed25519.PublicKey) error {
	return s.Post(ctx, "/v1/site/record", admin.Record{Record: c.Newest(), Node: base64.RawURLEncoding.EncodeToString(node)}, nil)
}

func nodeKeyOf(s site) (ed25519.PublicKey, error) {
	key, err := config.LoadNodeKey(s.config.Federation.NodeKey)
	if err != nil {
		return nil, err
	}
	public, _ := key.Public().(ed25519.PublicKey)
	return public, nil
}

func rootKeysFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("root-keys", "", "directory of the root keys")
}

func siteUpdateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update --root-keys DIR", Args: noArgs,
		Short: "Sign the site's next record: addresses and client ids as the configuration has them, for a year",
		Long: `Sign the site's next record with today's root keys: its addresses and client ids as the
configuration has them now, for another year.

--replace-node-key makes a new node key and has the record name it: peers follow, and
the old key is nobody's. Restart the daemon afterwards.`,
	}
	dir, pass := rootKeysFlag(cmd), passphraseFlags(cmd)
	replace := cmd.Flags().Bool("replace-node-key", false, "make a new node key; the old one is kept beside it and is of no use any more")
	homes := cmd.Flags().StringSlice("home", nil, "issuer that this site is the home of; replaces those that the record names")
	return onSite(cmd, func(ctx context.Context, s site, _ []string, _ bool) error {
		pass.stderr = cmd.ErrOrStderr()
		if *dir == "" {
			return usage("site update needs --root-keys")
		}
		chain, err := ownChain(ctx, s)
		if err != nil {
			return err
		}
		keys, err := loadRootKeys(*dir, chain.Record().Epoch, chain.Record().Threshold, pass)
		if err != nil {
			return err
		}
		public, err := nodeKeyOf(s)
		if err != nil {
			return err
		}
		path := s.config.Federation.NodeKey
		if *replace {
			made, err := config.CreateNodeKey(path + ".new")
			if err != nil {
				return err
			}
			public, _ = made.Public().(ed25519.PublicKey)
		}
		next, err := chain.Update(fromConfiguration(s.config, public, cmd.Flags().Changed("home"), *homes), keys, time.Now())
		if err == nil {
			err = putRecord(ctx, s, next, public)
		}
		if err != nil {
			if *replace {
				os.Remove(path + ".new") // no record names it
			}
			return err
		}
		if *replace {
			return replaceNodeKey(cmd, path)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "signed record (%d,%d), good until %s\n", next.Record().Epoch, next.Record().Update, expiry(next))
		return err
	})
}

func expiry(c *roots.Chain) string { return time.Unix(c.Record().Expires, 0).Format(time.DateOnly) }

// fromConfiguration makes a record say what the configuration says now.
func fromConfiguration(c *config.Config, public ed25519.PublicKey, homesGiven bool, homes []string) func(*roots.Record) {
	return func(r *roots.Record) {
		said, err := node.FirstRecord(c, public)
		if err != nil {
			return // the record then names the old node, and is refused for it
		}
		r.Name, r.Display, r.Nodes, r.ClientIDs = said.Name, said.Display, said.Nodes, said.ClientIDs
		if homesGiven {
			r.Issuers = slices.DeleteFunc(homes, func(h string) bool { return h == "" })
		}
	}
}

// replaceNodeKey puts the new key in the old one's place. The record that names it is written
// already, so a crash in between leaves node.key.new to be moved by hand.
func replaceNodeKey(cmd *cobra.Command, path string) error {
	old := path + ".old-" + strconv.FormatInt(time.Now().Unix(), 10)
	if err := errors.Join(os.Rename(path, old), os.Rename(path+".new", path)); err != nil {
		return fmt.Errorf("the record names the new node key, but it is not in its place yet: move %s.new to %s: %w", path, path, err)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "the node has a new key; the old one is %s\nrestart the daemon now: peers know the new key only\n", filepath.Base(old))
	return err
}

func siteRotateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate --root-keys DIR", Args: noArgs,
		Short: "Replace the root keys by those that the record committed to, and commit to new ones",
		Long: `Replace the root keys by the next ones, whose digests stand in the site's record, and
make the ones after those. Whatever a thief signed with the old keys ends, and with
--after-update it is left behind altogether.`,
	}
	dir, pass := rootKeysFlag(cmd), passphraseFlags(cmd)
	pass.none = cmd.Flags().Bool("no-passphrase", false, "leave the new keys unencrypted")
	fresh := cmd.Flags().String("new-keys", "", "directory for the keys after the next ones (default: --root-keys)")
	after := cmd.Flags().Int64("after-update", -1, "the newest update of this epoch that you stand by (default: the newest)")
	return onSite(cmd, func(ctx context.Context, s site, _ []string, _ bool) error {
		pass.stderr = cmd.ErrOrStderr()
		if *dir == "" {
			return usage("site rotate needs --root-keys, with the keys of the epoch to come")
		}
		if *fresh == "" {
			*fresh = *dir
		}
		chain, err := ownChain(ctx, s)
		if err != nil {
			return err
		}
		r := chain.Record()
		keys, err := loadRootKeys(*dir, r.Epoch+1, r.NextThreshold, pass)
		if err != nil {
			return err
		}
		made, files, err := createRootKeys(*fresh, r.Epoch+2, len(r.Next), pass)
		if err != nil {
			return err
		}
		rotated, err := rotate(ctx, s, chain, *after, keys, made)
		if err != nil {
			for _, f := range files {
				os.Remove(f) // no record commits to them
			}
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "signed record (%d,0), good until %s; the root keys to come are %s: put them where the others are not\n",
			rotated.Record().Epoch, expiry(rotated), *fresh)
		return err
	})
}

func rotate(ctx context.Context, s site, chain *roots.Chain, after int64, keys, made []crypto.Signer) (*roots.Chain, error) {
	public, err := nodeKeyOf(s)
	if err != nil {
		return nil, err
	}
	r := chain.Record()
	o := roots.Rotation{
		Signers: keys, Threshold: min(r.NextThreshold, len(keys)), Next: publicHalves(made), NextThreshold: r.NextThreshold,
		Change: fromConfiguration(s.config, public, false, nil),
	}
	if after >= 0 {
		var ok bool
		if o.After, ok = chain.DigestAt(r.Epoch, after); !ok {
			return nil, usage("the site's record has no update %d in epoch %d", after, r.Epoch)
		}
	}
	rotated, err := chain.Rotate(o, time.Now())
	if err != nil {
		return nil, err
	}
	return rotated, putRecord(ctx, s, rotated, public)
}

func siteLeaveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "leave --root-keys DIR --yes", Args: noArgs,
		Short: "Leave the network: a last record, signed by the root keys, that says so",
	}
	dir, pass := rootKeysFlag(cmd), passphraseFlags(cmd)
	yes := cmd.Flags().Bool("yes", false, "this is meant: only a rotation of the root keys brings the site back")
	return onSite(cmd, func(ctx context.Context, s site, _ []string, _ bool) error {
		pass.stderr = cmd.ErrOrStderr()
		if *dir == "" || !*yes {
			return usage("site leave needs --root-keys and --yes: peers end their connections, and only a rotation of the root keys brings the site back")
		}
		chain, err := ownChain(ctx, s)
		if err != nil {
			return err
		}
		keys, err := loadRootKeys(*dir, chain.Record().Epoch, chain.Record().Threshold, pass)
		if err != nil {
			return err
		}
		public, err := nodeKeyOf(s)
		if err != nil {
			return err
		}
		next, err := chain.Update(func(r *roots.Record) { r.Left = true }, keys, time.Now())
		if err != nil {
			return err
		}
		if err := putRecord(ctx, s, next, public); err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), "the site has left; keep the daemon up for a minute, so that its peers hear it")
		return err
	})
}
