"""Mutated files of every format that the program reads: each must be read, or refused with one sentence.

    python -m tests.fuzz --cases 20000 --seed 0
    python -m tests.fuzz --case circuit:17        one case again, with its traceback

`material.py` makes valid files with the program's own writers, `formats.py` reads each as the program does, `mutate.py`
changes them, `worker.py` tries the cases in processes with limits of time and memory, `__main__.py` counts.
"""
