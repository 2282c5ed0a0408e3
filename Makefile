# netlab: build, test, install.  'make help' says what there is; V=1 shows every command.

VERSION := $(shell sed -n 's/^\#define NETLAB_VERSION "\(.*\)"/\1/p' netlab/version.h)

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec
SYSCONFDIR ?= /etc
DATADIR    ?= $(PREFIX)/share
DESTDIR    ?=

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n'
endif

# ---- Where and how ---------------------------------------------------------------------------------------------------

# SANITIZE=1 builds everything a second time, with AddressSanitizer and UndefinedBehaviorSanitizer.
ifeq ($(SANITIZE),1)
B ?= build/sanitize
else
B ?= build
endif

ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
PKG_CONFIG ?= pkg-config
INSTALL ?= install

LIBRARIES := yaml-0.1 jansson liblz4 libpcap libxxhash libarchive libnl-route-3.0 libpcre2-8

# pkg-config is asked once, and not before the packages are installed.  What is wrong with the headers of others is theirs.
once = $(eval $(1) := $$(shell $(2)))$($(1))
PKG_CFLAGS  = $(call once,PKG_CFLAGS,$(PKG_CONFIG) --cflags $(LIBRARIES) | sed 's|-I */usr/|-isystem /usr/|g')
PKG_LIBS    = $(call once,PKG_LIBS,$(PKG_CONFIG) --libs $(LIBRARIES))
# pkg-config does not give libslirp without glib's headers, which nothing here includes.
SYSTEM_LIBS = $(PKG_LIBS) -lslirp
CMOCKA_LIBS = $(call once,CMOCKA_LIBS,$(PKG_CONFIG) --libs cmocka)

# The kernel's headers end structs with arrays without a size (struct kvm_msrs), to be put before their entries.
WARNINGS := -Wall -Wextra -Werror -Wno-gnu-variable-sized-type-not-at-end
DEFINES  := -D_GNU_SOURCE -DLIBEXECDIR='"$(LIBEXECDIR)"' -DDATADIR='"$(DATADIR)"' \
	    -DSYSCONFDIR='"$(SYSCONFDIR)"'
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

ifeq ($(SANITIZE),1)
HARDENING := $(SANITIZERS)
HARDENING_LINK := $(SANITIZERS)
else
HARDENING := -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fPIE
HARDENING_LINK := -pie -Wl,-z,relro,-z,now
endif

BASE_CFLAGS = -std=gnu17 $(DEFINES) $(WARNINGS) -O2 -g -I. -pthread $(PKG_CFLAGS)
ALL_CFLAGS  = $(BASE_CFLAGS) $(HARDENING) $(CFLAGS)
ALL_LDFLAGS = -pthread $(HARDENING_LINK) -Wl,--as-needed $(LDFLAGS)
FUZZ_CFLAGS = $(BASE_CFLAGS) -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

# ---- Sources ---------------------------------------------------------------------------------------------------------

CORE    := $(wildcard core/*.c core/*/*.c)
DEVICES := $(wildcard devices/*.c devices/*/*.c)
CLI     := $(wildcard netlab/cli/*.c)
NETLAB  := $(filter-out netlab/daemon.c netlab/bridge/helper.c $(CLI),$(wildcard netlab/*.c netlab/*/*.c))

# A test program is tests/{unit,hostile}/test_NAME.c; the other files there are shared by all of that folder.
UNIT            := $(wildcard tests/unit/test_*.c)
UNIT_SHARED     := $(filter-out $(UNIT),$(wildcard tests/unit/*.c))
HOSTILE         := $(wildcard tests/hostile/test_*.c)
HOSTILE_SHARED  := $(filter-out $(HOSTILE),$(wildcard tests/hostile/*.c))
BENCH           := $(wildcard tests/bench/*.c)
FUZZ            := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_SHARED     := $(filter-out $(FUZZ),$(wildcard tests/fuzz/*.c))

objects = $(patsubst %.c,$(B)/obj/%.o,$(1))
fuzz_objects = $(patsubst %.c,$(B)/fuzz/obj/%.o,$(1))

# The order in which a static linker wants them: users before what they use.
LIBS      := $(B)/libnetlab.a $(B)/libdevices.a $(B)/libcore.a
FUZZ_LIBS := $(B)/fuzz/libnetlab.a $(B)/fuzz/libdevices.a $(B)/fuzz/libcore.a

UNIT_PROGRAMS    := $(patsubst tests/unit/%.c,$(B)/tests/%,$(UNIT))
HOSTILE_PROGRAMS := $(patsubst tests/hostile/%.c,$(B)/tests/hostile/%,$(HOSTILE))
BENCH_PROGRAMS   := $(patsubst tests/bench/%.c,$(B)/bench/%,$(BENCH))
FUZZ_PROGRAMS    := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(FUZZ))

# Everything that is looked at without being run.  A C file is judged again when its object is made again, so when it
# or a header of its changes; all others when they themselves change.
C_FILES      := $(shell find core devices netlab scripts tests -name '*.[ch]')
LINTED_C     := $(filter-out tests/fuzz/%,$(filter %.c,$(C_FILES)))
LINTED_FUZZ  := $(filter tests/fuzz/%.c,$(C_FILES))
SCRIPTS      := $(shell find scripts tests labs .ci -type f ! -name '*.[ch]' -exec awk 'FNR == 1 && /^\#!.*sh/ { print FILENAME } \
			FNR > 1 { nextfile }' {} + ; find tests -name lib.sh)
lint_stamps   = $(patsubst %,$(B)/lint/%.$(1),$(2))
LINT_STAMPS  := $(call lint_stamps,format,$(C_FILES)) $(call lint_stamps,tidy,$(LINTED_C) $(LINTED_FUZZ)) \
		$(call lint_stamps,cppcheck,$(LINTED_C) $(LINTED_FUZZ)) $(call lint_stamps,shellcheck,$(sort $(SCRIPTS)))

# ---- What one asks for -----------------------------------------------------------------------------------------------

.PHONY: all help image image-lab image-router demo check lint format tests fuzz bench install uninstall clean programs FORCE \
	packages-build packages-image packages-image-router packages-check packages-lint

all: programs $(B)/netlab.bash-completion  ## Build build/netlab and build/netlabd

help:  ## Show this
	@echo 'netlab $(VERSION): a lab of virtual machines and wires on one computer.'
	@echo
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo
	@echo 'Variables: PREFIX=$(PREFIX) DESTDIR='
	@echo '  V=1 shows commands, SANITIZE=1 builds with ASan and UBSan in build/sanitize, PACKAGES=no installs nothing'

image: image-lab image-router  ## Build the guests' images (about 6 minutes, once); image-lab is the usual one

image-router: packages-image-router
image-lab image-router: image-%: packages-image programs
	$(Q)scripts/image-build $*

# The demo looks for /dev/kvm first: nobody should wait minutes for an image to learn that it cannot run.
demo:  ## Build everything, run labs/two-hosts, show ping and captures, clean up
	$(Q)scripts/demo --check-host
	$(Q)$(MAKE) --no-print-directory all image-lab
	$(Q)scripts/demo

check:  ## Build everything and run all tests; the last line is the count
	$(Q)scripts/check

lint: $(LINT_STAMPS)  ## Check style and look for bugs, without running anything
	$(Q)scripts/check-tree

format: packages-lint  ## Put all C code into the style of .clang-format
	$(Q)clang-format -i $(C_FILES)

programs: $(B)/netlab $(B)/netlabd $(B)/netlab-bridge-helper

tests: packages-check $(UNIT_PROGRAMS) $(HOSTILE_PROGRAMS)  ## Build the test programs

fuzz: packages-check $(FUZZ_PROGRAMS)  ## Build the fuzz targets, with clang

bench: $(BENCH_PROGRAMS)  ## Build the benchmarks, build/bench/*: each says what it compares and prints a table
	$(Q)printf '  run one: %s\n' $(BENCH_PROGRAMS)

clean:  ## Remove build/
	$(Q)rm -rf build $(B)

# ---- Packages --------------------------------------------------------------------------------------------------------

packages-build packages-image packages-image-router packages-check packages-lint: packages-%:
ifneq ($(PACKAGES),no)
	$(Q)scripts/install-packages $*
endif

# ---- Stamps: rebuild when the flags change, and the libraries when a source comes or goes ------------------------------

# $(call stamp,CONTENT): touches the target only when the content differs.
stamp = $(Q)mkdir -p $(@D); printf '%s\n' $(1) | cmp -s - $@ || printf '%s\n' $(1) >$@
quote = '$(subst ','\'',$(1))'

$(B)/flags: FORCE | packages-build
	$(call stamp,$(call quote,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(SYSTEM_LIBS)))

$(B)/fuzz/flags: FORCE | packages-build packages-check
	$(call stamp,$(call quote,$(CLANG) $(FUZZ_CFLAGS)))

$(B)/sources: FORCE
	$(call stamp,$(call quote,$(CORE) $(DEVICES) $(NETLAB) $(CLI)))

# ---- Programs --------------------------------------------------------------------------------------------------------

$(B)/obj/%.o: %.c $(B)/flags
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# What runs in guests is built by scripts/image-build, against another C library, to which functions owe no look at their
# result.  Here it is compiled only for 'make lint'.
$(B)/obj/scripts/%.o: ALL_CFLAGS += $(GUEST_CFLAGS)
$(B)/lint/scripts/%.tidy: BASE_CFLAGS += $(GUEST_CFLAGS)
GUEST_CFLAGS := -Inetlab -Wno-unused-result -DSTUB_LIBRARY='"lib"'

$(B)/libcore.a: $(call objects,$(CORE)) $(B)/sources
$(B)/libdevices.a: $(call objects,$(DEVICES)) $(B)/sources
$(B)/libnetlab.a: $(call objects,$(NETLAB)) $(B)/sources
$(B)/fuzz/libcore.a: $(call fuzz_objects,$(CORE)) $(B)/sources
$(B)/fuzz/libdevices.a: $(call fuzz_objects,$(DEVICES)) $(B)/sources
$(B)/fuzz/libnetlab.a: $(call fuzz_objects,$(NETLAB)) $(B)/sources

$(LIBS) $(FUZZ_LIBS):
	$(say) AR $@
	$(Q)mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

# $(call link,EXTRA): the objects and archives among the prerequisites, in their order.
link = $(Q)mkdir -p $(@D); $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(SYSTEM_LIBS) $(1)

$(B)/netlab: $(call objects,$(CLI)) $(LIBS)
	$(say) LINK $@
	$(link)

$(B)/netlabd: $(call objects,netlab/daemon.c) $(LIBS)
	$(say) LINK $@
	$(link)

$(B)/netlab-bridge-helper: $(call objects,netlab/bridge/helper.c) $(LIBS)
	$(say) LINK $@
	$(link)

$(B)/netlab.bash-completion: $(B)/netlab
	$(Q)$< completion bash >$@

$(UNIT_PROGRAMS): $(B)/tests/%: $(B)/obj/tests/unit/%.o $(call objects,$(UNIT_SHARED)) $(LIBS) | packages-check
	$(say) LINK $@
	$(call link,$(CMOCKA_LIBS))

$(HOSTILE_PROGRAMS): $(B)/tests/hostile/%: $(B)/obj/tests/hostile/%.o $(call objects,$(HOSTILE_SHARED)) $(LIBS) \
		| packages-check
	$(say) LINK $@
	$(call link,$(CMOCKA_LIBS))

# cmocka.h must be there before a test is compiled.
$(call objects,$(UNIT) $(UNIT_SHARED) $(HOSTILE) $(HOSTILE_SHARED)): | packages-check

# Their guests have no KVM: what stands in for their machines must come before the library.
$(B)/bench/switch $(B)/tests/test_service: $(call objects,$(wildcard tests/bench/switch/*.c) tests/fuzz/stand_in.c)
# Other switches, and other captures.
$(B)/bench/switch $(B)/bench/capture: $(call objects,$(wildcard tests/bench/peers/*.c))

$(BENCH_PROGRAMS): $(B)/bench/%: $(B)/obj/tests/bench/%.o $(LIBS)
	$(say) LINK $@
	$(call link)

$(B)/fuzz/obj/%.o: %.c $(B)/fuzz/flags
	$(say) CLANG $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@

$(FUZZ_PROGRAMS): $(B)/fuzz/%: $(B)/fuzz/obj/tests/fuzz/%.o $(call fuzz_objects,$(FUZZ_SHARED)) $(FUZZ_LIBS)
	$(say) LINK $@
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer -Wl,--as-needed -o $@ $(filter %.o,$^) $(filter %.a,$^) $(SYSTEM_LIBS)

# ---- Lint ------------------------------------------------------------------------------------------------------------

# What cppcheck does not know: readdir() is safe with a folder for each thread, getpwnam() in a program that has but one;
# mmap() takes -1 for no file, memcpy() of a size that varies fills memory, what a test's setup allocates is freed by its
# teardown, and what main() has at its end by nobody.
CPPCHECK = cppcheck --quiet --enable=warning,portability,performance --inline-suppr --error-exitcode=1 --std=c11 \
	   --library=posix --suppress=readdirCalled --suppress=invalidFunctionArg --suppress=uninitdata \
	   --suppress='getgrnamCalled:netlab/bridge/rules.c' --suppress='getpwnamCalled:netlab/bridge/rules.c' \
	   --suppress='getpwuidCalled:netlab/bridge/rules.c' \
	   --suppress='memleak:tests/*' --suppress='memleak:scripts/guest/agent.c' \
	   --include=$(firstword $(wildcard /usr/include/*/sys/queue.h /usr/include/sys/queue.h)) -I.

# clang-tidy counts on standard error the warnings it kept to itself; nobody needs that.  Its analyzer leaves a function
# after so many states of it, as clang's own "shallow" mode has it: with three times as many, as usual, more than half of
# its time goes into those functions in which a call that may fail follows upon another.
CLANG_TIDY = clang-tidy --quiet $< -- $(BASE_CFLAGS) -Xclang -analyzer-config -Xclang max-nodes=75000 2>$@.log || \
	     { grep -v 'warnings generated' $@.log >&2; exit 1; }

checked = $(Q)mkdir -p $(@D); { $(1); } && touch $@

$(call lint_stamps,format,$(C_FILES)): $(B)/lint/%.format: % .clang-format | packages-lint
	$(call checked,clang-format --dry-run -Werror $<)

$(call lint_stamps,tidy,$(LINTED_C)): $(B)/lint/%.c.tidy: %.c $(B)/obj/%.o .clang-tidy | packages-lint
	$(say) TIDY $<
	$(call checked,$(CLANG_TIDY))

$(call lint_stamps,tidy,$(LINTED_FUZZ)): $(B)/lint/%.c.tidy: %.c $(B)/fuzz/obj/%.o .clang-tidy | packages-lint
	$(say) TIDY $<
	$(call checked,$(CLANG_TIDY))

$(call lint_stamps,cppcheck,$(LINTED_C)): $(B)/lint/%.c.cppcheck: %.c $(B)/obj/%.o | packages-lint
	$(call checked,$(CPPCHECK) $<)

$(call lint_stamps,cppcheck,$(LINTED_FUZZ)): $(B)/lint/%.c.cppcheck: %.c $(B)/fuzz/obj/%.o | packages-lint
	$(call checked,$(CPPCHECK) $<)

$(call lint_stamps,shellcheck,$(sort $(SCRIPTS))): $(B)/lint/%.shellcheck: % | packages-lint
	$(call checked,shellcheck -x $<)

-include $(shell find $(B)/obj $(B)/fuzz/obj -name '*.d' 2>/dev/null)

# ---- Installation ----------------------------------------------------------------------------------------------------

# Beside the programs: what builds images, and the labs to begin with.
SHARED := scripts/image-build scripts/install-packages scripts/packages netlab/agent_protocol.h \
	  $(shell find scripts/guest scripts/images labs -type f ! -path '*/captures/*' ! -path '*/results/*')

install: all  ## Install below PREFIX (and DESTDIR)
	$(say) INSTALL $(DESTDIR)$(PREFIX)
	$(Q)$(INSTALL) -D -m 755 $(B)/netlab $(DESTDIR)$(BINDIR)/netlab
	$(Q)$(INSTALL) -D -m 755 $(B)/netlabd $(DESTDIR)$(LIBEXECDIR)/netlab-kvm/netlabd
	$(Q)$(INSTALL) -D -m 755 $(B)/netlab-bridge-helper $(DESTDIR)$(LIBEXECDIR)/netlab-kvm/netlab-bridge-helper
	$(Q)$(INSTALL) -D -m 644 $(B)/netlab.bash-completion $(DESTDIR)$(DATADIR)/bash-completion/completions/netlab
	$(Q)$(INSTALL) -D -m 644 -t $(DESTDIR)$(DATADIR)/doc/netlab-kvm README.md LICENSE $(wildcard docs/*.md)
	$(Q)$(INSTALL) -D -m 644 -t $(DESTDIR)$(DATADIR)/doc/netlab-kvm/images $(wildcard docs/images/*)
	$(Q)for file in $(SHARED); do \
		if test -x $$file; then mode=755; else mode=644; fi; \
		$(INSTALL) -D -m $$mode $$file $(DESTDIR)$(DATADIR)/netlab-kvm/$$file || exit 1; \
	done

uninstall:  ## Remove what 'make install' put below PREFIX
	$(Q)rm -f $(DESTDIR)$(BINDIR)/netlab $(DESTDIR)$(DATADIR)/bash-completion/completions/netlab
	$(Q)rm -rf $(DESTDIR)$(LIBEXECDIR)/netlab-kvm $(DESTDIR)$(DATADIR)/doc/netlab-kvm
	$(Q)cd $(DESTDIR)$(DATADIR)/netlab-kvm 2>/dev/null || exit 0; rm -rf scripts netlab labs; \
		cd ..; rmdir netlab-kvm 2>/dev/null || :  # Images that were built there stay.

FORCE:
