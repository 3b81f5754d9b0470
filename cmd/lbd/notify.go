package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// notify sends one state to the service manager's socket, as sd_notify(3) does. An empty socket is no manager.
func notify(socket, state string) error {
	if socket == "" {
		return nil
	}
	name := socket
	if rest, ok := strings.CutPrefix(socket, "@"); ok {
		name = "\x00" + rest // an abstract socket
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify %q: %w", socket, err)
	}
	_, err = c.Write([]byte(state))
	return errors.Join(err, c.Close())
}
