"""The data of a schema, prepared once: columns in a cache, splits, batches."""
