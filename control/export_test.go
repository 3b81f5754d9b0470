package control

import "time"

// MaxWatchers is for tests that exceed it.
const MaxWatchers = maxWatchers

// SetWatchPatience shortens how long a watcher may not read. It must be called before the server serves.
func (s *Server) SetWatchPatience(d time.Duration) { s.watches.patience = d }
