"""Reading a circuit: what its nodes do, and predictions made from the circuit that are tested on the whole model.

The file of a task in `tasks` holds its experiments. Once somebody has read a circuit of the task, a file in `words`
says in prose what the circuit computes.
"""
