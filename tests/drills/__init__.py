"""Drills: the database or the server is taken away under load, and nothing acknowledged is lost."""
