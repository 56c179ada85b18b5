"""Reading a circuit: what its nodes do, and predictions made from it, measured on the whole model.

A task is one file of `tasks`, its experiments, and, once somebody has read a circuit, one of `words`: what it computes.
"""
