"""The read model of accounts: `fold` events to rows, `reads` say whose a secret is."""
