"""Many objects at once, for the commands: files come in and go out, batch by batch."""
