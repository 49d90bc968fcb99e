# Python 3.7, which gets TensorFlow 1.15, if one on the PATH or in pyenv runs; otherwise python3.
PYTHON ?= $(shell for python in python3.7 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.7.*/bin/python python3; do \
	"$$python" -c "import venv" >/dev/null 2>&1 && { echo "$$python"; break; }; done)
VENV ?= .venv
DEMO ?= .demo
DATA ?= data
PRETRAINED_RUN ?= output/pretrained
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: help install demo test lint bench accuracy formats pretrained clean

help:  ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo "Choose the Python and the folder of the environment: PYTHON=$(PYTHON) VENV=$(VENV)"

install: $(INSTALLED)  ## create the environment and install kws into it

$(INSTALLED): setup.cfg setup.py
	$(if $(PYTHON),,$(error no Python 3 found; install Python 3.7, or 3.9 or newer, or add PYTHON=/path/to/python))
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

demo: $(INSTALLED)  ## make spoken words, train on them, measure, label and freeze: 2 minutes
	@PATH="$(abspath $(BIN)):$$PATH" sh tests/demo.sh $(DEMO)

test: $(INSTALLED)  ## run all tests
	$(BIN)/python -m pytest

lint: $(INSTALLED)  ## check the style
	$(BIN)/python -m flake8 kwscli tests

bench: $(INSTALLED)  ## measure the speed of every part: 3 to 5 minutes
	$(BIN)/kws bench

accuracy: $(INSTALLED)  ## train and measure the networks of the accuracy table on the recordings in DATA: a day
	$(BIN)/python tests/benchmark_accuracy.py --data-path $(DATA)

formats: $(INSTALLED)  ## train every network shortly on the recordings in DATA, and compare its files: 15 minutes
	$(BIN)/python tests/benchmark_formats.py --data-path $(DATA)

KEYWORDS = --data-path $(DATA) --wanted-words yes,no,up,down,left,right,stop,go
# With RUN=DIR, the run in DIR is packaged, and nothing is trained.
pretrained: $(INSTALLED)  ## train the network of the package on the recordings in DATA, and package it: hours
ifndef RUN
	$(BIN)/kws train $(KEYWORDS) --recipe best --model-architecture ds_tc_resnet --how-many-training-steps 15000 \
		--train-dir $(PRETRAINED_RUN)/teacher
	$(BIN)/kws train $(KEYWORDS) --recipe best --how-many-training-steps 20000 --teacher $(PRETRAINED_RUN)/teacher \
		--train-dir $(PRETRAINED_RUN)/student
endif
	$(BIN)/python tests/make_pretrained.py $(or $(RUN),$(PRETRAINED_RUN)/student)

clean:  ## delete the environment and the files of the demo
	rm -rf $(VENV) $(DEMO) build *.egg-info
