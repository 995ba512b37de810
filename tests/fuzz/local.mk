# Fuzz targets: one file fuzz_NAME.c each, built with these lines:
#	noinst_PROGRAMS += tests/fuzz/fuzz_NAME
#	tests_fuzz_fuzz_NAME_SOURCES = tests/fuzz/fuzz_NAME.c tests/fuzz/fuzz.h
#	tests_fuzz_fuzz_NAME_CPPFLAGS = $(fuzz_cppflags)
#	tests_fuzz_fuzz_NAME_LDFLAGS = $(fuzz_ldflags)
#	tests_fuzz_fuzz_NAME_LDADD = $(fuzz_ldadd)
# First inputs in corpus/fuzz_NAME/ and words in fuzz_NAME.dict help, and are named in EXTRA_DIST.
EXTRA_DIST += tests/fuzz/run tests/fuzz/fuzz_http.dict tests/fuzz/corpus/fuzz_http/chunked \
	tests/fuzz/corpus/fuzz_http/get tests/fuzz/fuzz_json.dict tests/fuzz/fuzz_json_raw.dict \
	tests/fuzz/corpus/fuzz_conf/all tests/fuzz/corpus/fuzz_conf/mistakes \
	tests/fuzz/corpus/fuzz_base64/padded tests/fuzz/corpus/fuzz_base64/url \
	tests/fuzz/corpus/fuzz_filter/all tests/fuzz/corpus/fuzz_filter/none tests/fuzz/corpus/fuzz_filter/shape \
	tests/fuzz/corpus/fuzz_json/escapes tests/fuzz/corpus/fuzz_json/event \
	tests/fuzz/corpus/fuzz_json_raw/escapes tests/fuzz/corpus/fuzz_json_raw/event

fuzz_cppflags = $(core_cppflags)
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_ldadd = core/libcore.la $(core_libs)

if FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz_base64
tests_fuzz_fuzz_base64_SOURCES = tests/fuzz/fuzz_base64.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_base64_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_base64_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_base64_LDADD = $(fuzz_ldadd)

noinst_PROGRAMS += tests/fuzz/fuzz_conf
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_conf_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_conf_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_conf_LDADD = $(fuzz_ldadd)

noinst_PROGRAMS += tests/fuzz/fuzz_http
tests_fuzz_fuzz_http_SOURCES = tests/fuzz/fuzz_http.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_http_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_http_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_http_LDADD = $(fuzz_ldadd)

noinst_PROGRAMS += tests/fuzz/fuzz_json
tests_fuzz_fuzz_json_SOURCES = tests/fuzz/fuzz_json.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_json_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_json_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_json_LDADD = $(fuzz_ldadd)

noinst_PROGRAMS += tests/fuzz/fuzz_split
tests_fuzz_fuzz_split_SOURCES = tests/fuzz/fuzz_split.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_split_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_split_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_split_LDADD = $(fuzz_ldadd)

noinst_PROGRAMS += tests/fuzz/fuzz_json_raw
tests_fuzz_fuzz_json_raw_SOURCES = tests/fuzz/fuzz_json_raw.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_json_raw_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_json_raw_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_json_raw_LDADD = $(fuzz_ldadd)

noinst_PROGRAMS += tests/fuzz/fuzz_text
tests_fuzz_fuzz_text_SOURCES = tests/fuzz/fuzz_text.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_text_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_text_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_text_LDADD = $(fuzz_ldadd)

noinst_PROGRAMS += tests/fuzz/fuzz_filter
tests_fuzz_fuzz_filter_SOURCES = tests/fuzz/fuzz_filter.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_filter_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_filter_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_filter_LDADD = $(fuzz_ldadd)
endif

# ---- rooms ----
EXTRA_DIST += tests/fuzz/fuzz_event.dict tests/fuzz/fuzz_rules.dict \
	tests/fuzz/corpus/fuzz_event/create tests/fuzz/corpus/fuzz_event/member tests/fuzz/corpus/fuzz_event/redaction \
	tests/fuzz/corpus/fuzz_id/alias tests/fuzz/corpus/fuzz_id/user \
	tests/fuzz/corpus/fuzz_event/big tests/fuzz/corpus/fuzz_event/first tests/fuzz/corpus/fuzz_rules/first tests/fuzz/corpus/fuzz_rules/invite \
	tests/fuzz/corpus/fuzz_rules/levels tests/fuzz/corpus/fuzz_redact/levels tests/fuzz/corpus/fuzz_redact/member \
	tests/fuzz/corpus/fuzz_sign/member tests/fuzz/corpus/fuzz_sign/redaction
if FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz_event
tests_fuzz_fuzz_event_SOURCES = tests/fuzz/fuzz_event.c tests/fuzz/fuzz_room.h tests/fuzz/fuzz.h
tests_fuzz_fuzz_event_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_event_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_event_LDADD = $(fuzz_ldadd)
noinst_PROGRAMS += tests/fuzz/fuzz_id
tests_fuzz_fuzz_id_SOURCES = tests/fuzz/fuzz_id.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_id_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_id_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_id_LDADD = $(fuzz_ldadd)
noinst_PROGRAMS += tests/fuzz/fuzz_redact
tests_fuzz_fuzz_redact_SOURCES = tests/fuzz/fuzz_redact.c tests/fuzz/fuzz_room.h tests/fuzz/fuzz.h
tests_fuzz_fuzz_redact_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_redact_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_redact_LDADD = $(fuzz_ldadd)
noinst_PROGRAMS += tests/fuzz/fuzz_sign
tests_fuzz_fuzz_sign_SOURCES = tests/fuzz/fuzz_sign.c tests/fuzz/fuzz_room.h tests/fuzz/fuzz.h
tests_fuzz_fuzz_sign_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_sign_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_sign_LDADD = $(fuzz_ldadd)
noinst_PROGRAMS += tests/fuzz/fuzz_rules
tests_fuzz_fuzz_rules_SOURCES = tests/fuzz/fuzz_rules.c tests/fuzz/fuzz_room.h tests/fuzz/fuzz.h $(oracle_sources)
tests_fuzz_fuzz_rules_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_rules_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_rules_LDADD = $(fuzz_ldadd)
noinst_PROGRAMS += tests/fuzz/fuzz_resolve
tests_fuzz_fuzz_resolve_SOURCES = tests/fuzz/fuzz_resolve.c tests/fuzz/fuzz.h $(yard_sources)
tests_fuzz_fuzz_resolve_CPPFLAGS = $(fuzz_cppflags)
tests_fuzz_fuzz_resolve_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_resolve_LDADD = $(fuzz_ldadd)
endif
