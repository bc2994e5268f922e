"""Falcon: parses requests and answers them, decides nothing.

A folder for each kind of client. `mounts` has every route with who may use it; a new endpoint is a
resource in its client's folder and a row there. The only folder that knows falcon.
"""
