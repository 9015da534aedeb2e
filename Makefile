# SPDX-License-Identifier: MIT OR Apache-2.0
# Thin: installs what is missing, then leaves the work to meson. See CONTRIBUTING.md.
#   make          the release program build/mynah        make demo      the whole story, report in demo/report.html
#   make check    all tests, gcc and clang + sanitizers  make install   program, library, headers (PREFIX=/usr/local)
#   make bench    speed    make fuzz    fuzzers, FUZZ_SECONDS each    make soak    what is drawn by lot, for SECONDS
.DELETE_ON_ERROR:
.PHONY: all build check demo bench fuzz soak install format clean packages packages-check always

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
SECONDS ?= 60

all: build
build: build/mynah

packages:
	@tools/install_packages.sh build
packages-check:
	@tools/install_packages.sh check

build/build.ninja: | packages
	meson setup build --buildtype=release --prefix=$(PREFIX)
# ninja knows what is to be done; the program's own time tells make whether anything was.
build/mynah: always build/build.ninja | packages
	@ninja -C build

demo: demo/report.html
	@echo "The report: demo/report.html"
demo/report.html: build/mynah
	build/mynah demo out=demo

check: packages-check
	@tools/check.sh

bench: build/mynah
	@tools/bench.sh

# Clang's fuzzers with sanitizers, each over its corpus; what crashes is left in build-fuzz/ and belongs into the corpus.
build-fuzz/build.ninja: | packages-check
	CC=clang meson setup build-fuzz --buildtype=debugoptimized -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
fuzz: build-fuzz/build.ninja
	@ninja -C build-fuzz $(patsubst %.c,%,$(wildcard tests/fuzz/fuzz_*.c))
	@set -e; for target in build-fuzz/tests/fuzz/fuzz_*; do \
	  [ -f $$target ] && [ -x $$target ] || continue; name=$${target##*/fuzz_}; mkdir -p build-fuzz/corpus/$$name; \
	  echo "fuzzing $$name for $(FUZZ_SECONDS) s"; \
	  $$target -dict=tests/fuzz/dict/$$name.dict -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
	    -artifact_prefix=build-fuzz/crash-$$name- build-fuzz/corpus/$$name tests/fuzz/corpus/$$name; done

# Kills, full and failing disks, power cuts, damaged files, every allocation failed in turn: each program SECONDS / 6 or longer, and however
# short that is, 200 kills of a writer, 500 power cuts, 20 sizes of disk, 10^5 changed or cut files (25,000 datasets, 75,000 policies, 500
# checkpoints), 100 stopped loops, 10^8 adversarial actions, 10^6 frames of rubbish. Each program prints its numbers.
SOAKED = dataset_writer policy_mlp learn_trainer dataset_power dataset_damage dataset_memory run_loop run_safety serve_server tool_kill
soak: build/mynah
	@ninja -C build $(SOAKED:%=tests/test_%) >/dev/null
	@set -e; for test in $(SOAKED); do echo "== $$test"; \
	  MYNAH_SOAK_SECONDS=$$(( ($(SECONDS) + 5) / 6 )) MYNAH_PROGRAM=$(CURDIR)/build/mynah build/tests/test_$$test; done
	@echo "soaked: nothing lost, nothing damaged was used"

install: build/mynah
	meson install -C build --no-rebuild

format:
	clang-format -i include/mynah/*.h src/*/*.[ch] tests/*/*.[ch]

clean:
	rm -rf build build-check build-asan build-tsan build-fuzz demo
