"""Evidence: tables of numbers that the project stands by, each row a run that anyone can repeat.

`tables` say what is wanted, `rows` what a finished run leaves in `assets/evidence/rows`, `doing` runs what is missing, and
`rendering` turns rows into a table: means, spreads, paired differences to every control, the paper's number beside.
"""
