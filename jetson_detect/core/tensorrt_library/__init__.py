"""TensorRT's Python module: found, imported and described by what its version has."""
