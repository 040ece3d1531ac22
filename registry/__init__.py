"""The catalogue of mmtoolkit: data only, read by `mmtoolkit.catalogue.shipped`."""
