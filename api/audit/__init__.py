"""The endpoints of auditors: history, transparency log, and the registry as it was."""
