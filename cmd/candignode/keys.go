package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

func keysCommand() *cobra.Command {
	return group("keys", "Keys that sign what leaves the site: visas, passports, the node as a client", keysCreateCommand(), keysShowCommand())
}

func keysCreateCommand() *cobra.Command {
	create := &cobra.Command{
		Use: "create FILE", Args: oneArg("the file to make"),
		Short: "Make a signing key (P-256, mode 0600); an existing file is never overwritten",
	}
	subjects := create.Flags().Bool("subjects", false, "make the secret for signing.subjects_key instead")
	create.RunE = func(cmd *cobra.Command, args []string) error {
		if *subjects {
			if err := config.CreateSubjectsKey(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "made %s; keep a copy: with another one everybody has another name\n", args[0])
			return err
		}
		key, err := config.CreateSigningKey(args[0])
		if err != nil {
			return err
		}
		thumbprint, err := jose.Thumbprint(key.Public())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "made %s, key %s; 'candignode keys show' prints its public half\n", args[0], thumbprint)
		return err
	}
	return create
}

func keysShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show FILE", Args: oneArg("the key's file"),
		Short: "Print the public half of a signing key as a JSON Web Key Set, for an issuer or a peer",
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := config.LoadPassportKey(args[0]) // which takes every kind of key that has a use
			if err != nil {
				return err
			}
			thumbprint, err := jose.Thumbprint(key.Public())
			if err != nil {
				return err
			}
			set, err := jose.MarshalKeySet([]trust.Key{{KeyID: thumbprint, Public: key.Public()}})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), string(set))
			return err
		},
	}
}
