package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func (c *cli) setCommand() *cobra.Command {
	return verb("set", "Change fields of a VIP, pool or backend",
		c.setVIPCommand(), c.setPoolCommand(), c.setBackendCommand())
}

// needsOne refuses a command line without any of the flags.
func needsOne(cmd *cobra.Command, flags ...string) error {
	for _, flag := range flags {
		if cmd.Flags().Changed(flag) {
			return nil
		}
	}
	return usagef("nothing to set: name at least one of --%s", strings.Join(flags, ", --"))
}
