"""Programs for working on the project: what measures it, proves it, and writes its reference pages."""
