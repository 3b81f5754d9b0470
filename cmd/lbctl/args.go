package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// exactly is cobra.ExactArgs with words that name the arguments.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usagef("%s takes %s, got %s", commandName(cmd), strings.Join(names, " and "), plural(len(args), "argument"))
		}
		return nil
	}
}

// atLeastOne is cobra.MinimumNArgs(1) in the words of exactly.
func atLeastOne(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s takes at least one %s, got none", commandName(cmd), name)
		}
		return nil
	}
}

// atMost is cobra.MaximumNArgs(1) in the words of exactly.
func atMost(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("%s takes at most one %s, got %s", commandName(cmd), name, plural(len(args), "argument"))
		}
		return nil
	}
}

// none is cobra.NoArgs in the words of exactly.
func none(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, got %q", commandName(cmd), args[0])
	}
	return nil
}

// commandName is "get vips", without the program's name, which stands in front of the message already.
func commandName(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

var (
	requiredFlags = regexp.MustCompile(`^required flag\(s\) (.*) not set$`)
	quotedName    = regexp.MustCompile(`"([^"]*)"`)
)

// usageText puts cobra's words for a missing flag and for a command that does not exist into ours: one line.
func usageText(err error) string {
	if text, guesses, ok := strings.Cut(err.Error(), "\n\nDid you mean this?\n"); ok {
		return text + ": did you mean " + strings.Join(strings.Fields(guesses), " or ") + "?"
	}
	if m := requiredFlags.FindStringSubmatch(err.Error()); m != nil {
		return quotedName.ReplaceAllString(m[1], "--$1") + " must be given"
	}
	return err.Error()
}
