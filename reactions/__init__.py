"""What follows the log and acts on the world: each with a checkpoint that no rebuild replays.

`reaction` says what one is, `catalogue` lists those that run, `runner` drives one of them, `keeper`
all of them in one process. Add one: its module here (a folder from three on), and a row in
`catalogue`. What it brings back that others must believe becomes an event, through a command that
it is given. May import what is left of it: `projections`, `feeds`, `eventstore`, `domain`.
"""
