"""What the databases ask for. It knows no request, no header, and no page of HTTP."""
