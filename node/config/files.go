package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// readFile reads a regular file of at most limit bytes. Its errors quote no more
// of the path than people need, because a path that holds a pasted key must not
// reach a log.
func readFile(path string, limit int64) ([]byte, error) {
	if err := notAPath(path); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, cannotRead(path, err)
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its other end
		return nil, fmt.Errorf("%.200q is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, cannotRead(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, cannotRead(path, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%.200q is larger than %d bytes", path, limit)
	}
	return data, nil
}

// notAPath catches the key that was pasted where its file's name belongs.
func notAPath(path string) error {
	if strings.Contains(path, "-----BEGIN") || strings.ContainsAny(path, "\n\x00") {
		return errors.New("this is not a path; keys and certificates stand in files of their own, named here")
	}
	return nil
}

func cannotRead(path string, err error) error {
	if inner := (*fs.PathError)(nil); errors.As(err, &inner) {
		err = inner.Err
	}
	return fmt.Errorf("cannot read %.200q: %w", path, err)
}
