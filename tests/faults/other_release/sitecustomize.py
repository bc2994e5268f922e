"""Makes `packledger` another release: put this folder on PYTHONPATH.

OTHER_RELEASE says what differs: `renderer` changes what documents say, `schema` the tables too.
Each version takes a while to render, so that what happens during a rebuild can be seen.
"""

import os
import time

OTHER_RELEASE = os.environ.get("OTHER_RELEASE")
SLOW_S = 0.04

if OTHER_RELEASE:
    from packledger.projections import packuments, sparse_index

    def _marked(render):
        def rendered(*arguments):
            time.sleep(SLOW_S)
            return render(*arguments) + MARK

        return rendered

    MARK = b',"release":"other"'
    sparse_index.render_entry = _marked(sparse_index.render_entry)
    sparse_index.SparseIndex.renderer += 1

    full, abbreviated = packuments.full_fragment, packuments.abbreviated_fragment
    packuments.full_fragment = lambda event: b'"release":"other",' + full(event)
    packuments.abbreviated_fragment = lambda event: b'"release":"other",' + abbreviated(event)
    packuments.Packuments.renderer += 1

    if OTHER_RELEASE == "schema":
        for kind in (sparse_index.SparseIndex, packuments.Packuments):
            kind.schema += 1
            kind.tables += "; CREATE TABLE other_release (id INTEGER PRIMARY KEY)"
