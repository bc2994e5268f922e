"""Commands for a terminal, and `wiring`, the only composition root. May import every folder."""
