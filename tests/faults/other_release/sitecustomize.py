"""Makes `packledger` another release: put this folder on PYTHONPATH.

OTHER_RELEASE says what differs: `renderer` changes what documents say, `schema` the tables too;
`slow` only takes a while for each version of a crate, as the others do, so that something can
happen during a rebuild.
"""

import os
import time

OTHER_RELEASE = os.environ.get("OTHER_RELEASE")
SLOW_S = 0.04

if OTHER_RELEASE:
    from packledger.projections.packuments import fold as packuments
    from packledger.projections.sparse_index import fold as sparse_index

    def _slow(render, mark=b""):
        def rendered(*arguments):
            time.sleep(SLOW_S)
            return render(*arguments) + mark

        return rendered

    sparse_index.render_entry = _slow(
        sparse_index.render_entry, b"" if OTHER_RELEASE == "slow" else b',"release":"other"'
    )

if OTHER_RELEASE in {"renderer", "schema"}:
    sparse_index.SparseIndex.renderer += 1

    fragments = packuments.fragments
    packuments.fragments = lambda event: tuple(
        b'"release":"other",' + fragment for fragment in fragments(event)
    )
    packuments.Packuments.renderer += 1

    if OTHER_RELEASE == "schema":
        for kind in (sparse_index.SparseIndex, packuments.Packuments):
            kind.schema += 1
            kind.tables += "; CREATE TABLE other_release (id INTEGER PRIMARY KEY)"
