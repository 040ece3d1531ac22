"""Fill the holes of a table and embed its rows, in a pipeline of scikit-learn."""

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mmtoolkit.sklearn import Embedder, Imputer

rows = 110
size = [None if row % 7 == 0 else 1.5 + row % 10 for row in range(rows)]
weight = [None if row % 7 == 3 else 3.0 + 2 * (row % 10) + 0.1 * (row % 3) for row in range(rows)]
colour = [None if row % 7 == 5 else "red" if row % 10 < 5 else "blue" for row in range(rows)]
things = pd.DataFrame({"size": size, "weight": weight, "colour": colour})
heavy = [row % 10 > 6 for row in range(rows)]

filled = Imputer(random_state=0).fit_transform(things)
print("holes before:", things.isna().sum().to_dict())
print("holes after:", filled.isna().sum().to_dict())

columns = ColumnTransformer(
    [
        ("filled", Imputer(steps=300, random_state=0), ["size", "weight"]),
        ("z", Embedder(latent_dim=2, steps=300, random_state=0), ["size", "weight", "colour"]),
    ]
)
pipeline = make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(things, heavy)
print("features:", ", ".join(pipeline[0].get_feature_names_out()))
print(f"accuracy: {pipeline.score(things, heavy):.2f}")
