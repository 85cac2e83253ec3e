# Seawall: build, demonstrate, test. Everything that is made goes under build/.
#
#   make          build/seawall
#   make demo     installs what is missing, builds, starts a real cluster, shows the main job
#   make check    installs what is missing, builds, runs all tests; last line: N passed, N failed
#   make check-drivers  the programs in the drivers that people use, PostgreSQL's own regression suite, libpq_pipeline
#   make bench    throughput, latency and CPU beside PgBouncer and HAProxy, interleaved
#   make asan     the same program under build/asan, with AddressSanitizer and UBSan; make check-asan tests it
#   make tsan     … with ThreadSanitizer under build/tsan; make check-tsan tests it
#   make fuzz     fuzzers under build/fuzz (clang); lint, format, clean

B        ?= build
CC       ?= gcc
OPT      ?= -O2
SANITIZE ?=
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
PG_INC   := $(shell pg_config --includedir 2>/dev/null)
CFLAGS   := -std=gnu11 -g $(OPT) $(SANITIZE) $(WARN) -fno-strict-aliasing -pthread -MMD -MP -I. -I$(PG_INC)
PG_QUERY := /usr/lib/x86_64-linux-gnu/libpg_query.a
LIBS     := $(PG_QUERY) -luv -lpq -linih -lssl -lcrypto -lidn -lpam -pthread -lm

SOURCES  := $(wildcard proxy/*.c proxy/*/*.c router/*.c lagmon/*.c)
OBJECTS  := $(SOURCES:%.c=$B/obj/%.o)
LIBRARY  := $(filter-out $B/obj/proxy/main.o,$(OBJECTS))
UNITS    := $(patsubst tests/unit/%.c,$B/tests/unit/%,$(wildcard tests/unit/test_*.c))
FUZZERS  := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
PYTHON   := /usr/bin/python3

.PHONY: all deps demo check check-drivers check-rmw bench tests asan tsan check-asan check-tsan fuzz lint format clean
all: $B/seawall

$B/seawall: $(OBJECTS)
	$(CC) $(CFLAGS) $^ -o $@ $(LIBS)

$B/libseawall.a: $(LIBRARY)
	rm -f $@ && ar rcs $@ $^

# The classifier reads the parse tree, whose nodes PostgreSQL's own headers describe.
$(filter $B/obj/router/classify%,$(OBJECTS)): CFLAGS += -isystem /usr/include/postgresql/15/server

$B/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c $< -o $@

$B/tests/unit/%: tests/unit/%.c $B/libseawall.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $< $B/libseawall.a -o $@ -lcmocka $(LIBS)

$B/tests/workload: tests/chaos/workload.c tests/chaos/session.c tests/chaos/plan.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $^ -o $@ -lpq

$B/tests/bench_classify: tests/bench/bench_classify.c $B/libseawall.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $< $B/libseawall.a -o $@ $(LIBS)

# Recipes that come after deps call make again: what deps installs changes what the lines above find.
deps:
	@tests/lib/deps.sh

tests: $B/seawall $(UNITS) $B/tests/workload

demo: deps
	@$(MAKE) --no-print-directory -j2 -s all $B/tests/workload
	@cd tests && exec $(PYTHON) -m lib.demo

check: deps
	@$(MAKE) --no-print-directory -j2 -s tests
	@tests/run

check-drivers: deps
	@tests/lib/deps.sh --drivers --regress
	@$(MAKE) --no-print-directory -j2 -s all
	@tests/drivers/run
	@tests/regress/run

check-rmw: deps
	@$(MAKE) --no-print-directory -j2 -s tests
	@cd tests && $(PYTHON) -m chaos.million

bench: deps
	@$(MAKE) --no-print-directory -j2 -s all build/tests/bench_classify
	@build/tests/bench_classify
	@$(PYTHON) tests/bench/bench.py

ASAN := B=build/asan SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" OPT=-O1
TSAN := B=build/tsan SANITIZE="-fsanitize=thread" OPT=-O1
asan:
	@$(MAKE) --no-print-directory -j2 -s $(ASAN) tests
tsan:
	@$(MAKE) --no-print-directory -j2 -s $(TSAN) tests
check-asan: deps asan
	@SEAWALL_BUILD=build/asan tests/run
check-tsan: deps tsan
	@SEAWALL_BUILD=build/tsan SEAWALL_WORKERS=4 tests/run

fuzz:
	@$(MAKE) --no-print-directory -j2 -s B=build/fuzz CC=clang OPT=-O1 \
		SANITIZE="-fsanitize=fuzzer-no-link,address,undefined" build/fuzz/libseawall.a $(FUZZERS)

build/fuzz/fuzz_%: tests/fuzz/fuzz_%.c build/fuzz/libseawall.a
	clang $(CFLAGS) -fsanitize=fuzzer,address,undefined $< build/fuzz/libseawall.a -o $@ $(LIBS)

lint: $B/seawall
	@for script in tests/lint/*.py tests/lint/*.sh; do [ ! -f $$script ] || $$script || exit 1; done

format:
	clang-format -i $(SOURCES) $(wildcard proxy/*.h proxy/*/*.h router/*.h lagmon/*.h tests/*/*.c tests/*/*.h)

clean:
	rm -rf build

-include $(OBJECTS:.o=.d) $(UNITS:=.d)
