"""What a crate is: its name, its manifest, what may happen to it. Rules about crates go here."""
