//! Metrics as messages: the StatsD dialects and the exact aggregation that follows them.
