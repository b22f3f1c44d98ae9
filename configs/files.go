package configs

import _ "embed"

var (
	//go:embed candignode.yaml
	example []byte
	//go:embed systemd/candignode.service
	unit []byte
)

// Example is candignode.yaml: a configuration with every key, commented so that
// it is the manual.
func Example() []byte { return append([]byte(nil), example...) }

// Unit is the systemd unit of the daemon.
func Unit() []byte { return append([]byte(nil), unit...) }
