"""Writes loads.jsonl: the load of a power line in each hour of 300 days, with gaps, and the sort of each day."""

import json
import math
import random

draw = random.Random(0)
peaks = {"workday": (8, 19), "weekend": (13,), "holiday": ()}
with open("loads.jsonl", "w") as file:
    for number in range(300):
        day = draw.choice(list(peaks))
        high = draw.uniform(3, 5)
        load = [
            round(10 + draw.gauss(0, 0.2) + sum(high * math.exp(-(((hour - peak) / 3) ** 2)) for peak in peaks[day]), 2)
            for hour in range(24)
        ]
        if number % 3 == 0:  # the meter failed for six hours
            start = draw.randrange(18)
            load[start : start + 6] = [None] * 6
        row = {"day": None if number % 5 == 1 else day, "load": None if number % 5 == 2 else load}
        file.write(json.dumps(row) + "\n")
