package main

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/candignode/candignode/node/rootkey"
)

// passphrase is where the passphrase of root keys comes from.
type passphrase struct {
	file   *string
	none   *bool
	stderr io.Writer
	asked  string // once for all files of one command
}

func passphraseFlags(cmd *cobra.Command) *passphrase {
	return &passphrase{file: cmd.Flags().String("passphrase-file", "", "file with the passphrase of the root keys (default: asked on the terminal)")}
}

// given reads the passphrase that opens existing keys.
func (p *passphrase) given() (string, error) {
	if p.asked != "" {
		return p.asked, nil
	}
	var err error
	switch {
	case *p.file != "":
		p.asked, err = readPassphrase(*p.file)
	case term.IsTerminal(int(os.Stdin.Fd())):
		p.asked, err = ask(p.stderr, "Passphrase of the root keys: ")
	default:
		err = usage("the root keys are encrypted, and there is no terminal to ask for their passphrase: give --passphrase-file")
	}
	return p.asked, err
}

// chosen gives the passphrase for new keys: "" only for those who asked for none. Where nobody can
// be asked, one is made and shown once.
func (p *passphrase) chosen() (string, error) {
	if p.none != nil && *p.none {
		return "", nil
	}
	if p.asked != "" {
		return p.asked, nil
	}
	var err error
	switch {
	case *p.file != "":
		p.asked, err = readPassphrase(*p.file)
	case term.IsTerminal(int(os.Stdin.Fd())):
		if p.asked, err = ask(p.stderr, "A passphrase for the root keys (empty: one is made): "); err == nil && p.asked != "" {
			var again string
			if again, err = ask(p.stderr, "Again: "); err == nil && again != p.asked {
				err = errors.New("the two passphrases differ; nothing was made")
			}
		}
	}
	if err == nil && p.asked == "" {
		p.asked = rootkey.NewPassphrase()
		_, err = fmt.Fprintf(p.stderr, "passphrase of the root keys, shown this once; write it down: %s\n", p.asked)
	}
	return p.asked, err
}

func readPassphrase(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("--passphrase-file: %w", err)
	}
	if words := strings.TrimRight(string(text), "\r\n"); words != "" {
		return words, nil
	}
	return "", errors.New("--passphrase-file: the file is empty")
}

func ask(w io.Writer, prompt string) (string, error) {
	fmt.Fprint(w, prompt)
	words, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(w)
	return string(words), err
}

// createRootKeys makes the keys of one epoch, all or none.
func createRootKeys(dir string, epoch int64, count int, p *passphrase) (keys []crypto.Signer, files []string, err error) {
	defer func() {
		if err != nil {
			for _, f := range files {
				os.Remove(f)
			}
		}
	}()
	words, err := p.chosen()
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	for i := range count {
		file := rootkey.FileName(dir, epoch, i+1)
		key, err := rootkey.Create(file, words)
		if err != nil {
			return nil, files, err
		}
		keys, files = append(keys, key), append(files, file)
	}
	return keys, files, nil
}

// loadRootKeys reads the keys of one epoch: as many as there are, and at least as many as must
// sign.
func loadRootKeys(dir string, epoch int64, threshold int, p *passphrase) ([]crypto.Signer, error) {
	var keys []crypto.Signer
	for i := 1; i <= 5; i++ {
		file := rootkey.FileName(dir, epoch, i)
		if _, err := os.Lstat(file); errors.Is(err, os.ErrNotExist) {
			continue
		}
		key, err := rootkey.Load(file, p.given)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) < threshold {
		return nil, fmt.Errorf("%d root keys of epoch %d lie in %s, and %d must sign: name the directory with --root-keys (%s and so on)",
			len(keys), epoch, dir, threshold, filepath.Base(rootkey.FileName(dir, epoch, 1)))
	}
	return keys, nil
}

func publicHalves(keys []crypto.Signer) []ed25519.PublicKey {
	halves := make([]ed25519.PublicKey, 0, len(keys))
	for _, k := range keys {
		if public, ok := k.Public().(ed25519.PublicKey); ok {
			halves = append(halves, public)
		}
	}
	return halves
}
