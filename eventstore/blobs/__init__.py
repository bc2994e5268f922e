"""Tarballs and READMEs by digest; `store` is the contract, another storage a module here."""
