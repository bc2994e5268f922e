"""The rules of the registry: names, versions, crates, npm packages, accounts, events, errors.

Pure: imports the standard library, msgspec and the semver libraries only. No I/O, no clock, no
`eventsourcing`. Every other folder may import this one; this one imports no other.
"""
