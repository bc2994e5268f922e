"""Archives of both ecosystems, read strictly and as a stream."""
