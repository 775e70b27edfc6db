"""Programs that measure: `python -m tests.bench` compares the API with the same by hand."""
