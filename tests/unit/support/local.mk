EXTRA_DIST += tests/unit/support/unit.h
