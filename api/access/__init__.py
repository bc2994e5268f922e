"""Who asks and whether they may. A way to prove who one is, or a rule of access, goes here."""
