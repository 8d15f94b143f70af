"""`python -m panmodel` is the command `panmodel`."""

from panmodel.cli import main

if __name__ == "__main__":
    main()
