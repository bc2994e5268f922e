"""The rules of the registry, pure: what may happen, what events add up to, and every event.

One folder an ecosystem, and one for accounts; what all share lies beside them. Imports the standard
library, msgspec and a semver library only: no input or output, no clock. A rule about crates or npm
packages goes into its folder; a refusal into `errors`.
"""
