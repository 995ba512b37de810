EXTRA_DIST += contrib/myelin.pc.in
EXTRA_DIST += autogen.sh .clang-format
