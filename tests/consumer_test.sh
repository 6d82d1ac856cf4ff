#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A program outside the repository, with compiler flags of its own, links the
# library without Bazel and runs.
set -euo pipefail

program=$TEST_TMPDIR/consumer
cp -L tests/consumer.cc "$program.cc"
mapfile -t link < tests/consumer_libvmm.link

for flags in "-std=c++20" "-std=c++20 -O2 -fno-exceptions -fno-rtti" "-std=c++23 -O0"; do
  echo "g++ $flags"
  g++ $flags -Wall -Wextra -Werror -I"$PWD" "$program.cc" \
    -Wl,--start-group "${link[@]}" -Wl,--end-group -o "$program"
  (cd "$TEST_TMPDIR" && "$program")
done
