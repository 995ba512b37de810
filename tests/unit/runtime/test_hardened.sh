#!/bin/sh
# A release build is hardened: position-independent, everything relocated is read-only before main, the stack is guarded,
# and the C library's checked functions are used. TAP; make sets the environment.
set -u
build=${MX_BUILD:-.}
flags=" ${MX_BUILD_CFLAGS:-} "
number=0

skip()
{
	echo "1..0 # SKIP $1"
	exit 0
}
case $flags in
*-fsanitize* | *--coverage*) skip 'built with a sanitizer or for coverage' ;;
esac
command -v readelf >/dev/null 2>&1 || skip 'readelf is not installed'

objects=
for object in "$build/.libs/myelind" "$build/.libs/myelinctl" "$build"/core/.libs/libmyelin-core.so "$build"/modules/*/.libs/*.so; do
	[ ! -f "$object" ] || objects="$objects $object"
done
[ -n "$objects" ] || skip 'nothing is built here'

# What is wrong with an object, in words; nothing when nothing is.
wrong()
{
	kind=$(readelf -hW "$1" | sed -n 's/^ *Type: *\([A-Z]*\).*/\1/p')
	[ "$kind" = DYN ] || echo "it is $kind: not position-independent"
	segments=$(readelf -lW "$1")
	echo "$segments" | grep -q GNU_RELRO || echo 'no RELRO'
	echo "$segments" | grep GNU_STACK | grep -q 'RW ' || echo 'its stack can be executed'
	! echo "$segments" | grep LOAD | grep -q 'RWE' || echo 'a segment can be written and executed'
	dynamic=$(readelf -dW "$1")
	echo "$dynamic" | grep -qE 'BIND_NOW|FLAGS_1.*NOW' || echo 'symbols are bound late'
	! echo "$dynamic" | grep -q TEXTREL || echo 'its code is relocated'
	case $1 in
	*.so) ;;
	*) echo "$dynamic" | grep -q 'FLAGS_1.*PIE' || echo 'it is no PIE' ;;
	esac
}
imports() { readelf -W --dyn-syms "$1" | awk '$7 == "UND" { sub(/@.*/, "", $8); print $8 }'; }

# shellcheck disable=SC2086
set -- $objects
fortified=
case $flags in
*FORTIFY_SOURCE=[123]*) fortified=yes ;;
esac
echo 1..$(($# + 2))
guarded=no checked=no
for object; do
	number=$((number + 1))
	said=$(wrong "$object")
	if [ -z "$said" ]; then echo "ok $number - $(basename "$object")"; else echo "not ok $number - $(basename "$object")"; echo "$said" | sed 's/^/# /'; fi
done
# A small object may have nothing to guard or to check: the core has.
for object; do
	case $object in
	*/libmyelin-core.so)
		imports "$object" | grep -qx __stack_chk_fail && guarded=yes
		imports "$object" | grep -qE '^__[a-z]+_chk$' && checked=yes
		;;
	esac
done
number=$((number + 1))
case $flags in
*-fstack-protector*)
	if [ $guarded = yes ]; then echo "ok $number - the stack is guarded"; else echo "not ok $number - the stack is guarded"; fi ;;
*) echo "ok $number - the stack is guarded # SKIP built without" ;;
esac
number=$((number + 1))
if [ -z "$fortified" ]; then
	echo "ok $number - the C library checks sizes # SKIP built without optimization"
elif [ $checked = yes ]; then
	echo "ok $number - the C library checks sizes"
else
	echo "not ok $number - the C library checks sizes"
fi
