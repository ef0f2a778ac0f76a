"""Infrastructure templates that use a layer, one module a tool."""
