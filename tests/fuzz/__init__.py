"""Schemathesis: a running server does what its OpenAPI document says, to thousands of requests."""
