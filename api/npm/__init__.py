"""The endpoints that npm, pnpm, yarn and bun ask, below one sink."""
