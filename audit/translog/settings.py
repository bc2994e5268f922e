"""Who signs the transparency log, and who cosigns it."""

from typing import Annotated

from packledger.domain.section import Section, setting


class Translog(Section, frozen=True):
    """The transparency log: who signs it, and who cosigns it."""

    witnesses: Annotated[
        tuple[str, ...],
        setting(
            "Witnesses that cosign the transparency log's checkpoints, each `VKEY URL`; separated "
            "by commas in the environment. One that is down delays nothing.",
            flat="witnesses",
        ),
    ] = ()
    vkey: Annotated[
        str,
        setting(
            "The verifier key of the transparency log, where it is signed elsewhere, by "
            "`packledger sign --url`. Empty: `serve` has the key and signs.",
            flat="log_vkey",
        ),
    ] = ""

    def __post_init__(self) -> None:
        """Refuse witnesses that cannot be asked, and a key that is none."""
        if not self.witnesses and not self.vkey:
            return
        # Imported here: few registries have one.
        from packledger.audit.translog.notes import BadNote, parse_verifier
        from packledger.audit.translog.witness import parse_witness

        name = "witnesses"
        try:
            for witness in self.witnesses:
                parse_witness(witness)
            name = "vkey"
            if self.vkey:
                parse_verifier(self.vkey)
        except BadNote as error:
            raise ValueError(f"`{name}` cannot be used: {error}") from error
