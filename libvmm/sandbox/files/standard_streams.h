// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_STANDARD_STREAMS_H_
#define LIBVMM_SANDBOX_FILES_STANDARD_STREAMS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/any_invocable.h"

namespace libvmm::sandbox {

// What a program's descriptors 0, 1 and 2 are at first: functions of the
// embedder's. No descriptor of the host is involved.
//
// A function returns how many bytes it took or gave, which may be fewer than
// asked (0 from `input` is the end of file), or a negated Linux errno: -EAGAIN
// for "not now". Anything else is told to the program as EIO. The bytes may lie
// in the guest's memory and are lent for the call.
//
// Thread-safety: called on the thread that calls the FileSystem.
struct StandardStreams {
  // Without it: the end of file at once.
  absl::AnyInvocable<int64_t(std::span<std::byte>)> input = nullptr;
  // Without it: everything is taken and forgotten.
  absl::AnyInvocable<int64_t(std::span<const std::byte>)> output = nullptr;
  absl::AnyInvocable<int64_t(std::span<const std::byte>)> errors = nullptr;
  // Whether the program is to believe that all three are a terminal; else they
  // look like pipes.
  bool terminal = false;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_FILES_STANDARD_STREAMS_H_
