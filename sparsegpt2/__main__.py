"""`python -m sparsegpt2 COMMAND`: the same as `sparsegpt2 COMMAND`."""

from sparsegpt2.siblings import claim_process

claim_process()  # before anything else is imported: the working folder may hold a random.py

if __name__ == "__main__":
    from sparsegpt2.cli import main

    main()
