core_libcore_la_SOURCES += core/crypto/hash.c core/crypto/key.c core/crypto/key.h core/crypto/sha1.h core/crypto/sign.c
