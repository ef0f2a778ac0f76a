"""The verbs, each a short pipeline of named steps."""
