# Python 3.7 with TensorFlow 1.15 is home: one on the PATH or among pyenv's versions, if it runs; else python3.
PYTHON ?= $(shell for python in python3.7 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.7.*/bin/python python3; do \
	"$$python" -c "import venv" >/dev/null 2>&1 && { echo "$$python"; break; }; done)
VENV ?= .venv
DEMO ?= .demo
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: help install demo test lint bench clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10
	@echo "PYTHON=$(PYTHON) makes the environment in VENV=$(VENV)"

install: $(INSTALLED)  ## make the environment and install kws into it

$(INSTALLED): setup.cfg setup.py
	$(if $(PYTHON),,$(error no Python 3 found; install Python 3.7, or 3.9 or newer, or name one by PYTHON=))
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

demo: $(INSTALLED)  ## synthesise spoken words, train on them, measure, label, freeze
	@PATH="$(abspath $(BIN)):$$PATH" sh tests/demo.sh $(DEMO)

test: $(INSTALLED)  ## run every test
	$(BIN)/python -m pytest

lint: $(INSTALLED)  ## check the style
	$(BIN)/python -m flake8 kwscli tests

bench: $(INSTALLED)  ## measure the speed of every part, as a table
	$(BIN)/kws bench

clean:  ## remove the environment and what the demo made
	rm -rf $(VENV) $(DEMO) build *.egg-info
