"""One thin module for each resource, all in the same order: list, create, get, update, delete."""
