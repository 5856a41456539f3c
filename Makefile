# make demo [FAULT=NAME]   see kdbg at work on a kernel
# make test                all checks
# make bench [JSON=FILE]   measure kdbg; docs/bench.md tells how to read it
# make uml [RUN=COMMANDS]  boot a User-mode Linux kernel, built first if it is not there; see examples/uml
# make docs                docs/commands.md, from the commands themselves
# make clean

demo:
	scripts/demo $(if $(FAULT),--fault $(FAULT))

test:
	scripts/test

bench:
	scripts/setup --for demo
	.venv/bin/python -m bench.run $(if $(JSON),--json $(JSON))

uml:
	examples/uml/build
	examples/uml/boot $(RUN)

docs:
	scripts/setup --for demo
	.venv/bin/python -m gdb_kdbg.docs > docs/commands.md.new
	mv docs/commands.md.new docs/commands.md

clean:
	rm -rf build

.PHONY: demo test bench uml docs clean
