"""What pictures and texts add where the other columns of a table are filled, on characters of a dictionary.

    python benchmarks/mixed.py [--rows 3000] [--masks 2] [--views scalars,texts,pictures,both]

It needs Debian's packages kanjidic and fonts-ipafont-gothic, and scikit-learn and pandas. Results are in
docs/mixed-tables.md.
"""

from kanji.__main__ import main

if __name__ == "__main__":
    main()
