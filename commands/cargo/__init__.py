"""What a user may do with crates, and how an uploaded crate is read."""
