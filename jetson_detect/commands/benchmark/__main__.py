"""``python -m jetson_detect.commands.benchmark``."""

import sys

from jetson_detect.commands.benchmark.command import main

sys.exit(main())
