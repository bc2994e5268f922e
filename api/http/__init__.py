"""What every endpoint shares: bodies, answers, errors, paths. Nothing knows what is served."""
