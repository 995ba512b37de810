EXTRA_DIST += tests/example-module/Makefile tests/example-module/example_module.c
