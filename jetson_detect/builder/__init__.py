"""Builds engines on the machine that runs them, proves them and puts them into the cache.

Every stage of a build is a process of its own, which may be killed without harm: TensorFlow's
memory and TensorRT's never add up, and the memory of a stage is back when it has ended.
"""
