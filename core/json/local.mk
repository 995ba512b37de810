core_libcore_la_SOURCES += \
	core/json/canonical.c core/json/get.c core/json/is_canonical.c core/json/json.h core/json/number.c core/json/parse.c \
	core/json/quote.c core/json/raw.c core/json/split.c core/json/split.h core/json/write.c
