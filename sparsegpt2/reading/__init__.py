"""Reading a circuit: what its nodes do, and predictions made from it, which are tested on the whole model.

Each task has a file in `tasks` with its experiments. Once somebody has read a circuit of the task, there is also a file
in `words` that says in prose what the circuit computes.
"""
