package main

import "github.com/spf13/cobra"

func (c *cli) getCommand() *cobra.Command {
	return verb("get", "List VIPs, pools, backends, slots or flows",
		c.getVIPsCommand(), c.getPoolsCommand(), c.getBackendsCommand(), c.getSlotsCommand(), c.getFlowsCommand())
}
