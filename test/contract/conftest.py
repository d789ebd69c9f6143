"""The walker and its facts are modules beside the tests."""

import sys
from pathlib import Path

# pytest's importlib mode puts no folder of tests on the path.
sys.path.insert(0, str(Path(__file__).parent))
