"""`orders-api scaffold`: the source of a new resource, as CONTRIBUTING.md shows it."""
