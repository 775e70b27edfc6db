"""The command line, `orders-api`, and the server that it starts."""
