"""The registry of schemas, studies and data sets that ships with mmtoolkit."""
