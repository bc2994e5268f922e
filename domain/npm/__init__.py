"""What an npm package is: its name, its manifest, what may happen to it. Its rules go here."""
