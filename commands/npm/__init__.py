"""What a user may do with npm packages, and how a document and its tarball are read."""
