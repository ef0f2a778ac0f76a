"""The edges of the world: files, processes, HTTP, archives."""
