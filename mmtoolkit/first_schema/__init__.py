"""`mmt init`: write a first schema for your own table."""

from mmtoolkit.first_schema.choose import Choice
from mmtoolkit.first_schema.in_memory import first_schema_of
from mmtoolkit.first_schema.propose import FirstSchema, first_schema, name_of

__all__ = ["Choice", "FirstSchema", "first_schema", "first_schema_of", "name_of"]
