"""``python -m jetson_detect.commands.engine_cache``."""

import sys

from jetson_detect.commands.engine_cache.command import main

sys.exit(main())
