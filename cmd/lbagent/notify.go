package main

import (
	"fmt"
	"net"
	"os"
)

// notify tells the service manager, if there is one, as sd_notify(3) does.
func notify(message string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("opening NOTIFY_SOCKET: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(message)); err != nil {
		return fmt.Errorf("writing to NOTIFY_SOCKET %q: %w", name, err)
	}
	return nil
}
