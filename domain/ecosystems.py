"""The two ecosystems, by the names that URLs, keys and events have for them."""

CARGO, NPM = "cargo", "npm"
