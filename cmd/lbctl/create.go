package main

import "github.com/spf13/cobra"

func (c *cli) createCommand() *cobra.Command {
	return verb("create", "Add a VIP, pool or backend",
		c.createVIPCommand(), c.createPoolCommand(), c.createBackendCommand())
}
