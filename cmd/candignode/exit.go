package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/oidc"
)

// Exit codes, as docs/operator.md promises them to scripts.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitDenied     = 3 // not authenticated, or denied
	exitIncomplete = 4 // answered, but not by every site
)

// coded is an error that chose its exit code. An empty text prints nothing:
// everything was said already.
type coded struct {
	code int
	text string
}

func (c coded) Error() string { return c.text }

func silent(err error) bool {
	var c coded
	return errors.As(err, &c) && c.text == ""
}

func usage(format string, args ...any) error { return coded{exitUsage, fmt.Sprintf(format, args...)} }

// exitCode is the one table from errors to exit codes.
func exitCode(err error) int {
	var c coded
	var refused *api.Problem
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &c):
		return c.code
	case errors.As(err, &refused) && (refused.Status == 401 || refused.Status == 403):
		return exitDenied
	case errors.Is(err, oidc.ErrDenied), errors.Is(err, oidc.ErrExpired), errors.Is(err, bearer.ErrRefused):
		return exitDenied
	}
	return exitFailed
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no arguments, got %.60q", cmd.CommandPath(), args[0])
	}
	return nil
}

func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("%s takes one argument, %s; got %d", cmd.CommandPath(), what, len(args))
		}
		return nil
	}
}
