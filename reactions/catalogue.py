"""Every reaction of this release, a row each. There is none yet, so no process runs for them."""

from packledger.reactions.reaction import Reaction

REACTIONS: tuple[Reaction, ...] = ()
