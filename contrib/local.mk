EXTRA_DIST += contrib/myelin.pc.in
EXTRA_DIST += autogen.sh .clang-format
EXTRA_DIST += contrib/quickstart contrib/check contrib/install-packages README.md LICENSE
