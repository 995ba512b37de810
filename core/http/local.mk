core_libcore_la_SOURCES += \
	core/http/address.c core/http/address.h core/http/fetch.c core/http/fetch.h \
	core/http/fetch_address.c core/http/fetch_curl.c core/http/fetch_curl.def core/http/fetch_internal.h \
	core/http/fetch_loop.c core/http/fetch_options.c core/http/fetch_setup.c core/http/guests.c core/http/internal.h core/http/io.c \
	core/http/link.c core/http/listen.c core/http/options.c core/http/output.c core/http/parse.c \
	core/http/parse.h core/http/rate.c core/http/rate.h core/http/reply.c core/http/request.c \
	core/http/router.c core/http/router.h core/http/run.c core/http/server.c core/http/server.h \
	core/http/text.c core/http/text.h core/http/tls.c core/http/upload.c core/http/wheel.c core/http/wheel.h \
	core/runtime/pool.c core/runtime/pool.h
