"""Where bytes come from: pinning and fetching each kind of source."""
