"""What can be set, and what is said of a setting that is wrong.

`settings` has the list of sections; a section lies beside what it configures, in its layer.
"""
