"""Checks of the tensorrt backend against the real TensorRT; ``check_tensorrt.py`` runs them."""
