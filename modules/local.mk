# Each module's folder adds itself to module_LTLIBRARIES; the file is named as the module, with _ for -.
include modules/storage-sqlite/local.mk
include modules/storage-postgres/local.mk
include modules/client-discovery/local.mk
include modules/client-session/local.mk
include modules/client-register/local.mk
include modules/client-account/local.mk
include modules/client-rooms/local.mk
include modules/client-history/local.mk
include modules/client-sync/local.mk
include modules/client-profile/local.mk
include modules/client-account-data/local.mk
include modules/client-receipts/local.mk
include modules/client-typing/local.mk
include modules/client-directory/local.mk
include modules/auth-password/local.mk
include modules/auth-token/local.mk
include modules/admin/local.mk
