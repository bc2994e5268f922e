"""The rules of the registry: names, versions, crates, npm packages, accounts, events, errors.

Pure: imports the standard library, msgspec and a semver library only. No I/O, no clock, no
`eventsourcing`. Every other folder may import this one; this one imports no other.
"""
