"""Mutation testing: change one operator, constant or statement, and see whether a test fails.

    python -m tools.mutate --room schedulers --sample 40 --seed 0 --out report.json

`mutations` finds the changes in the syntax tree of a file. `runner` tries each of them on a copy of
the package, in a process that is forked after torch has been imported, on the tests that call the
changed function. `rooms` says which tests belong to which package.
"""
