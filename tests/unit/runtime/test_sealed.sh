#!/bin/sh
# What a built module shows and uses: it exports its descriptor and nothing else, takes from Myelin only what the core
# exports, and its sources include no private header.
# make sets builddir and srcdir.
build=${MX_BUILD:-.}
source=${srcdir:-.}
core=$build/core/.libs/libmyelin-core.so
bad=0 number=0

fail()
{
	echo "# $1"
	bad=1
}

# In the Test Anything Protocol: what was looked at since the last time.
told()
{
	number=$((number + 1))
	if [ $bad = 0 ]; then echo "ok $number - $1"; else echo "not ok $number - $1"; fi
	bad=0
}

[ -f "$core" ] || { echo "1..0 # SKIP there is no $core"; exit 0; }
echo 1..4
exported=$(mktemp) || exit 99
trap 'rm -f "$exported"' EXIT
nm -D --defined-only "$core" | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u >"$exported"

for symbol in $(grep -v '^mx_' "$exported"); do
	case $symbol in
	__asan_* | __odr_* | __start_* | __stop_* | _init | _fini | __gcov* | __llvm* | __sancov*) ;;
	*) fail "the core exports $symbol, which is not ours to export" ;;
	esac
done
told "the core exports only names that begin with mx_"

for object in "$build"/modules/*/.libs/*.so; do
	[ -f "$object" ] || continue
	name=$(basename "$object" .so)
	shown=$(nm -D --defined-only "$object" | awk '{ print $3 }' | grep -v -e '^__asan' -e '^__odr' -e '^__gcov' -e '^_init$' -e '^_fini$')
	[ "$shown" = "${name}_LTX_mx_module" ] || fail "$name exports: $shown"
	for symbol in $(nm -D --undefined-only "$object" | awk '{ sub(/@.*/, "", $2); print $2 }' | grep '^mx_'); do
		grep -qx "$symbol" "$exported" || fail "$name uses $symbol, which the core does not export"
	done
done
told "a module exports its descriptor alone and uses what the core exports"

private=$(grep -rn '#include "\(core\|modules\)/' "$source"/modules --include='*.[ch]')
[ -z "$private" ] || fail "$private"
told "modules include no private header of the core"
private=$(grep -rn '#include "' "$source"/include/myelin)
[ -z "$private" ] || fail "$private"
told "public headers include public headers only"
