"""`python -m filmstrip` is the command line."""

from filmstrip.cli.main import main

if __name__ == "__main__":
    main()
