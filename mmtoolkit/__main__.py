"""`python -m mmtoolkit`, the same as `mmt`."""

from mmtoolkit.cli import main

if __name__ == "__main__":
    main()
