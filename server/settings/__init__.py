"""What can be set, and what is said of a setting that is wrong."""
