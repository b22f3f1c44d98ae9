package main

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Under systemd the daemon has a user of its own, and root imports: what it
// made must be the daemon's to read and to remove.
func TestWhatRootImportsBelongsToTheSite(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const daemon = 65534
	dir := filepath.Join(t.TempDir(), "uhn")
	var out bytes.Buffer
	if code := run([]string{"init", "--dir", dir, "--name", "uhn"}, &out, &out); code != exitDone {
		t.Fatal(out.String())
	}
	if err := os.Chown(dir, daemon, daemon); err != nil {
		t.Fatal(err)
	}
	vcf := filepath.Join(t.TempDir(), "cohort.vcf")
	text := "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tP1\n22\t100\t.\tA\tG\t.\t.\t.\tGT\t0|1\n"
	if err := os.WriteFile(vcf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "candignode.yaml")
	if code := run([]string{"datasets", "import", "vcf", vcf, "--dataset", "d", "--assembly", "GRCh37", "--config", config}, &out, &out); code != exitDone {
		t.Fatal(out.String())
	}
	made, err := filepath.Glob(filepath.Join(dir, "datasets", "d-*"))
	if err != nil || len(made) != 1 {
		t.Fatal(made, err)
	}
	for _, path := range append(made, filepath.Join(dir, "datasets")) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != daemon || owner.Gid != daemon {
			t.Errorf("%s belongs to %d:%d", path, owner.Uid, owner.Gid)
		}
	}
}
