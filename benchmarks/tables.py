"""How well and how fast mmtoolkit fills real tables, beside mode and mean, neighbours, missForest and miceforest.

It needs the packages of benchmarks/filling/requirements.txt; `make bench-tables` has them in an environment of its own.
Results are in docs/filling.md.

    python benchmarks/tables.py [--tables tune|check|all|PACKAGE/NAME ...] [--masks 5] [--methods ours,mode] [--resume]
"""

from filling.__main__ import main

if __name__ == "__main__":
    main()
