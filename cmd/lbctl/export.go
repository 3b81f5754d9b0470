package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/document"
	sluicev1 "github.com/sluice-lb/sluice/proto/sluice/v1"
	"github.com/sluice-lb/sluice/proto/translate"
)

func (c *cli) exportCommand() *cobra.Command {
	var revision string
	cmd := &cobra.Command{
		Use: "export", Short: "Print the configuration as a document that apply takes", Args: none,
		Long: "Print the configuration as a document that apply takes: canonical YAML, or JSON with -o json.",
		RunE: c.does(func(ctx context.Context, _ []string) error {
			request := &sluicev1.ExportRequest{}
			if revision != "" {
				n, err := revisionNumber(revision)
				if err != nil {
					return err
				}
				request.Revision = &n
			}
			answer, err := call(ctx, c, sluicev1.SluiceClient.Export, request)
			if err != nil {
				return err
			}
			config, err := translate.ConfigFromProto(answer.GetConfig())
			if err != nil {
				return fmt.Errorf("read the configuration that lbd sent: %w (use the lbctl of its release)", err)
			}
			if c.output == "name" {
				for _, item := range contentsOf(config) {
					fmt.Fprintln(c.stdout, item.object())
				}
				return nil
			}
			marshal := document.Marshal
			if c.output == "json" {
				marshal = document.MarshalJSON
			}
			text, err := marshal(config)
			if err != nil {
				return err
			}
			_, err = c.stdout.Write(text)
			return err
		}),
	}
	cmd.Flags().StringVar(&revision, "revision", "", "an old revision in place of the live one; 0 is the empty configuration")
	_ = cmd.RegisterFlagCompletionFunc("revision", c.complete(1, c.revisionNumbers))
	return cmd
}
