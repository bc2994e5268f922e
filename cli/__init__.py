"""Commands for a terminal, one file a command, named like it; the only folder that knows click."""
