# make demo   set up, run the main job, print the answer and the report's path
# make test   set up, lint, C++ tests, Python tests
# make study-NAME   a claim that takes minutes to check, into docs/results (NAME: STUDIES below); QUICK=1: seconds, into build/studies
# make twin       the ops' CUDA side on a CPU; make cuda, the module with CUDA kernels builds and loads
# make sanitize   the C++ tests under ASan and UBSan, those of the CPU kernels in threads under TSan; make fuzz, wrong inputs for every reader of files; make results, make picture, make sample-picture, make history   what README and docs show
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := 2.13.0
STUDIES := calibration laws-speed learning entropy transfer multiplier aa planted bisect planted-cuda faults power-cut scheduler design big-store overhead
INSTALLED := $(VENV)/.installed
SOURCES := $(shell git ls-files CMakeLists.txt pyproject.toml build_backend csrc laimbench 2>/dev/null)

.PHONY: demo test lint ctest twin cuda pytest quick-studies chinchilla sanitize fuzz results picture sample-picture history clean
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(BIN)/laimbench demo --out report

test: lint ctest twin cuda pytest quick-studies

# A torch that is on the machine already is used through --system-site-packages; else scripts/ensure_torch.py gets a CPU build.
$(VENV)/.ready: scripts/ensure_torch.py
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(BIN)/python scripts/ensure_torch.py $(TORCH)
	touch $@

$(INSTALLED): $(VENV)/.ready $(SOURCES)
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy only-if-needed .
	touch $@

$(VENV)/.tested: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed ".[test]"
	touch $@

lint: $(VENV)/.tested
	! git grep -nE '^(<{7}|>{7}) '
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.inl' 'csrc/*.cuh' 'csrc/*.cu')

ctest: $(VENV)/.tested
	PATH=$(CURDIR)/$(BIN):$$PATH; \
	cmake -S . -B build/ctest -G Ninja -DLAIMBENCH_TESTS=ON >build/ctest.log 2>&1 || { cat build/ctest.log; exit 1; }; \
	cmake --build build/ctest && ctest --test-dir build/ctest --output-on-failure

sanitize: $(VENV)/.tested
	PATH=$(CURDIR)/$(BIN):$$PATH; \
	tests() { cmake -S . -B $$1 -G Ninja -DLAIMBENCH_TESTS=ON -DLAIMBENCH_SANITIZE=$$2 >$$1.log 2>&1 || { cat $$1.log; return 1; }; \
	  cmake --build $$1 --target $$3 && ctest --test-dir $$1 -R "$$4" --output-on-failure; }; \
	tests build/sanitize address,undefined all . && tests build/sanitize-threads thread kernels_test ^kernels

# From a folder of its own, so that the installed package is tested and not the source tree.
pytest: $(VENV)/.tested
	mkdir -p build/pytest
	cd build/pytest && $(CURDIR)/$(BIN)/python -m pytest $(CURDIR)/tests -c $(CURDIR)/pyproject.toml --rootdir=$(CURDIR) --import-mode=importlib -p no:cacheprovider

# The ops' CUDA side, whole, without a GPU: a build whose ops run the CUDA kernels on CPU tensors, under the shim.
build/twin/.built: $(VENV)/.tested $(SOURCES)
	rm -rf build/twin/site
	$(BIN)/python -m pip install --quiet --no-deps --target build/twin/site -C cmake.define.LAIMBENCH_CUDA=TWIN -C build-dir=build/twin/cmake .
	touch $@

TWIN_TESTS = cd build/pytest && PYTHONPATH=$(CURDIR)/build/twin/site $(CURDIR)/$(BIN)/python -m pytest -c $(CURDIR)/pyproject.toml \
	  --rootdir=$(CURDIR) --import-mode=importlib -p no:cacheprovider
twin: build/twin/.built
	mkdir -p build/pytest
	$(TWIN_TESTS) $(addprefix $(CURDIR)/tests/ops/test_,against_reference.py autograd.py cuda.py)
	export LAIMBENCH_TWIN_SM90=1; $(TWIN_TESTS) $(CURDIR)/tests/ops/test_cuda.py

# The module with its CUDA kernels builds, and loads where there is no driver.
cuda: $(VENV)/.tested
	if command -v nvcc >/dev/null; then \
	  $(BIN)/python -m pip install --quiet --no-deps --upgrade --target build/cuda/site -C cmake.define.LAIMBENCH_CUDA=ON -C build-dir=build/cuda/cmake . && \
	  cd build/cuda && PYTHONPATH=site $(CURDIR)/$(BIN)/python -c "from laimbench.ops._extension import BUILD; assert BUILD['cuda'] == 'device'; print('CUDA module:', BUILD['cuda_archs'])"; \
	else echo "skipped: the CUDA module, for nvcc is missing"; fi

# Wrong inputs for every reader, as many as a night has time for; those that went wrong are kept.
INPUTS ?= 1000000
fuzz: $(VENV)/.tested
	mkdir -p build/fuzz
	cd build/fuzz && $(CURDIR)/$(BIN)/python -c "import sys; sys.path.append('$(CURDIR)'); from tests.fuzz.readers import main; sys.exit(main())" \
	  $(INPUTS) --seed $$(date +%j) --kept .

# The figures that README and docs quote; each is measured alone, on a quiet machine.
results: $(INSTALLED)
	$(BIN)/laimbench bench --json docs/results/bench.json
	$(BIN)/python scripts/readme_bench.py docs/results/bench.json README.md

study-%: $(VENV)/.tested
	$(BIN)/python studies/$(subst -,_,$*).py $(if $(QUICK),--quick)

# The tables of docs/performance.md: about 50 minutes for one thread and all, on a quiet machine.
study-cpu: $(INSTALLED)
	$(BIN)/laimbench bench --suite cpu --threads 1 --json docs/results/cpu-one.json
	$(BIN)/laimbench bench --suite cpu --json docs/results/cpu-all.json
	$(BIN)/python scripts/performance_page.py docs/performance.md docs/results/cpu-one.json docs/results/cpu-all.json

# A script named bisect.py would stand in the way of Python's module of that name.
study-bisect: $(VENV)/.tested
	$(BIN)/python studies/planted_commit.py $(if $(QUICK),--quick)

# The worked example of docs/laws.md.
chinchilla: $(VENV)/.tested
	$(BIN)/laimbench fit laimbench/laws/tables/chinchilla_epoch.csv --where kept_by_epoch=1 --pictures docs/results/chinchilla

quick-studies:
	$(MAKE) --no-print-directory QUICK=1 $(STUDIES:%=study-%)

# The first screen of the demo's report, and of one of simulated runs, by headless Chromium.
SCREENSHOT = chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir=$$(mktemp -d) --virtual-time-budget=8000 \
	  --force-device-scale-factor=1 --window-size=1280,1700

picture: report/index.html
	$(SCREENSHOT) --screenshot=docs/report.png file://$(CURDIR)/report/index.html

sample-picture: $(INSTALLED)
	$(BIN)/python scripts/sample_report.py build/sample.html
	$(SCREENSHOT) --screenshot=docs/report-sample.png file://$(CURDIR)/build/sample.html

# What asv has measured (benchmarks/results, by `asv run`), as one page.
history: $(INSTALLED)
	$(BIN)/laimbench history benchmarks/results --out docs/history/index.html
	$(SCREENSHOT) --screenshot=docs/history.png file://$(CURDIR)/docs/history/index.html

clean:
	rm -rf $(VENV) build report
