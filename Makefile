# Two commands: `make run` trains when there is no model yet and serves; `make test` runs every check.
# Needs Python 3.11.5 or newer, pip and make; everything else goes into virtual environments beside this file.

PYTHON ?= python3
PORT ?= 8000
PROFILE ?=
QUICK ?=

.PHONY: run test check train evaluate bench-quality bench-engine bench-peers bench-server bench-batch bench-extraction bench-retraining bench-planted bench-labelling endurance clean

run:
	@$(PYTHON) training/environment.py .venv train,documents,client
	@.venv/bin/tagger train --quick --if-missing
	@exec .venv/bin/tagger serve --port $(PORT) --train $(PROFILE)

test:
	@$(PYTHON) training/environment.py .venv-dev dev
	@$(PYTHON) training/environment.py .venv-light test,postgres
	@./.ci/check .venv-dev .venv-light

train evaluate:
	@$(PYTHON) training/environment.py .venv train,documents,client
	@.venv/bin/tagger $@

bench-quality:
	@$(PYTHON) training/environment.py .venv train,documents,client
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE .venv/bin/python -m benchmarks.quality $(if $(QUICK),--quick)

bench-engine:
	@$(PYTHON) training/environment.py .venv train,documents,client
	@.venv/bin/tagger train --if-missing
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE .venv/bin/python -m benchmarks.engine.run $(if $(QUICK),--quick)

bench-batch bench-extraction:
	@$(PYTHON) training/environment.py .venv-dev dev
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE .venv-dev/bin/python -m benchmarks.$(subst bench-,,$@) $(if $(QUICK),--quick)

bench-retraining:
	@$(PYTHON) training/environment.py .venv-dev dev
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE .venv-dev/bin/python -m benchmarks.retraining.run $(if $(QUICK),--quick)

bench-planted:
	@$(PYTHON) training/environment.py .venv-dev dev
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE .venv-dev/bin/python -m benchmarks.retraining.run --planted

bench-labelling:
	@$(PYTHON) training/environment.py .venv-dev dev
	@.venv-dev/bin/python -m benchmarks.labelling.run

endurance:
	@$(PYTHON) training/environment.py .venv train,documents,client
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE .venv/bin/python -m benchmarks.endurance.run $(if $(QUICK),--quick)

bench-server:
	@$(PYTHON) training/environment.py .venv train,documents,client
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE .venv/bin/python -m benchmarks.server.run $(if $(QUICK),--quick)

bench-peers:
	@$(PYTHON) training/environment.py .venv train,documents,client
	@env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE .venv/bin/python -m benchmarks.peers.run $(if $(QUICK),--quick)

clean:
	rm -rf .venv .venv-dev .venv-light *.egg-info
