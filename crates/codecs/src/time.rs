//! Timestamps of log lines, to nanoseconds since the UNIX epoch.
