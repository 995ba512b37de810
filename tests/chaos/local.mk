# Run by hand, for as long as one likes; tests/e2e/test_chaos.py runs a little of it.
EXTRA_DIST += tests/chaos/chaos.py tests/chaos/weather.c
