"""``python -m jetson_detect.commands.replay``."""

import sys

from jetson_detect.commands.replay.command import main

sys.exit(main())
