package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
)

const (
	defaultServer  = "unix:///run/sluice/lbd.sock"
	serverVariable = "SLUICE_SERVER"
	certVariable   = "SLUICE_CERT"
	keyVariable    = "SLUICE_KEY"
	caVariable     = "SLUICE_CA"
	defaultTimeout = 5 * time.Second
)

// formats are the values of --output.
var formats = []string{"table", "wide", "json", "yaml", "name"}

// cli is one invocation.
type cli struct {
	env
	server    string
	files     tlsFiles
	output    string
	timeout   time.Duration
	dryRun    bool
	noHeaders bool
	// watch goes on and prints what changes.
	watch bool
	// expectedRevision is 0 where any will do.
	expectedRevision uint64
	// comment is for the history; confirm is 0 where no confirmation is asked for.
	comment string
	confirm time.Duration

	// started tells that the command line was understood: what fails later is not a mistake in usage.
	started bool
	conn    *grpc.ClientConn
	mu      sync.Mutex // the library dials on a goroutine of its own
	// unreachable is why the last dial failed; nil while the daemon answers.
	unreachable error
	// untrusted is why the last connection over TCP failed after it was made; nil while there is trust.
	untrusted error
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, e env, args []string) int {
	c := &cli{env: e}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if c.conn != nil {
		_ = c.conn.Close() // nothing is in flight any more
	}
	if err == nil {
		return exitOK
	}
	return c.report(cmd, err)
}

const groupRead, groupChange, groupLocal = "read", "change", "local"

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "lbctl",
		Short: "Manage a Sluice load balancer",
		Long: `lbctl manages one Sluice node through the API of its daemon, lbd.

BACKEND is POOL/NAME, or a bare NAME where only one pool has it.
Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 partly done.
diff has its own.`,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return c.checkFlags() },
	}
	root.AddGroup(
		&cobra.Group{ID: groupRead, Title: "Commands that read:"},
		&cobra.Group{ID: groupChange, Title: "Commands that change the node:"},
		&cobra.Group{ID: groupLocal, Title: "Commands that need no daemon:"})
	root.SetCompletionCommandGroupID(groupLocal)
	root.SetHelpCommandGroupID(groupLocal)
	c.globalFlags(root)
	add := func(group string, commands ...*cobra.Command) {
		for _, cmd := range commands {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	add(groupRead, c.getCommand(), c.describeCommand(), c.exportCommand(), c.statusCommand(), c.statsCommand(),
		c.historyCommand(), c.diffCommand(), c.checkCommand())
	add(groupChange, c.applyCommand(), c.createCommand(), c.setCommand(), c.deleteCommand(), c.weightCommand(),
		c.drainCommand(), c.undrainCommand(), c.rollbackCommand(), c.confirmCommand())
	add(groupRead, c.explainCommand())
	add(groupLocal, c.validateCommand(), c.versionCommand())
	return root
}

func (c *cli) globalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	server := c.getenv(serverVariable)
	if server == "" {
		server = defaultServer
	}
	flags.StringVar(&c.server, "server", server, "lbd: unix:///PATH or HOST:PORT; "+serverVariable+" sets the default")
	flags.StringVar(&c.files.cert, "cert", c.getenv(certVariable), "file with your certificate, for HOST:PORT; or "+certVariable)
	flags.StringVar(&c.files.key, "key", c.getenv(keyVariable), "file with its private key; or "+keyVariable)
	flags.StringVar(&c.files.ca, "ca", c.getenv(caVariable), "file with the CA that signed for lbd; or "+caVariable)
	flags.StringVarP(&c.output, "output", "o", "table", "format: "+strings.Join(formats, ", "))
	flags.DurationVar(&c.timeout, "timeout", defaultTimeout, "longest wait for each answer of lbd")
	flags.BoolVar(&c.dryRun, "dry-run", false, "say what would change, and change nothing")
	flags.BoolVar(&c.noHeaders, "no-headers", false, "tables without their first line")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

func (c *cli) checkFlags() error {
	if !slices.Contains(formats, c.output) {
		return usagef("--output %q: must be one of %s", c.output, strings.Join(formats, ", "))
	}
	if c.timeout <= 0 {
		return usagef("--timeout %s: must be above 0", c.timeout)
	}
	return nil
}

// does adapts a command's work to cobra.
func (c *cli) does(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c.started = true
		return work(cmd.Context(), args)
	}
}

// verb is a command that only groups others, one for each noun.
func verb(use, short string, nouns ...*cobra.Command) *cobra.Command {
	var names []string
	for _, n := range nouns {
		names = append(names, n.Name())
	}
	choice := strings.Join(names, ", ")
	cmd := &cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s needs one of: %s", use, choice)
			}
			return usagef("%s %q: must be one of: %s", use, args[0], choice)
		},
	}
	cmd.AddCommand(nouns...)
	return cmd
}
