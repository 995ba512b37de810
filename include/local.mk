myelinincludedir = $(includedir)/myelin
myelininclude_HEADERS = \
	include/myelin/account.h include/myelin/base.h include/myelin/codes.def include/myelin/core.h \
	include/myelin/crypto.h include/myelin/error.h include/myelin/event.h include/myelin/federation.h include/myelin/fetch.h include/myelin/filter.h include/myelin/hook.h \
	include/myelin/hooks.def include/myelin/id.h include/myelin/json.h include/myelin/log.h \
	include/myelin/module.h include/myelin/request.h include/myelin/room.h include/myelin/sql.h \
	include/myelin/storage.h include/myelin/stream.h include/myelin/sync.h \
	include/myelin/view.h
# What modules publish for each other: one header a service.
myelinservicedir = $(includedir)/myelin/service
myelinservice_HEADERS = include/myelin/service/directory.h include/myelin/service/account_data.h include/myelin/service/profile.h include/myelin/service/threepids.h
