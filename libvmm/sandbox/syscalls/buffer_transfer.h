// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_BUFFER_TRANSFER_H_
#define LIBVMM_SANDBOX_SYSCALLS_BUFFER_TRANSFER_H_

#include <cstdint>
#include <optional>
#include <span>

#include "libvmm/sandbox/address_space/area.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"

namespace libvmm::sandbox::internal {

// Reads from a descriptor into the program's buffers, or writes from them, as
// readv and writev do; at `offset`, where the descriptor's own stays as it is,
// as preadv and pwritev do.
//
// The result is how many bytes went, or a negative errno when none did. Bytes
// go between file and guest memory directly, in pieces of up to 64 KiB: memory
// that a buffer promises and a file does not fill gets no frames. A stream or a
// pipe is read once, so that what is there is handed over before more is waited
// for.
//
// TransferFailure says what becomes of a failure.
[[nodiscard]] int64_t ReadIntoBuffers(SyscallContext& context, int32_t fd,
                                      std::span<const GvaRange> buffers,
                                      std::optional<int64_t> offset = {});
[[nodiscard]] int64_t WriteFromBuffers(SyscallContext& context, int32_t fd,
                                       std::span<const GvaRange> buffers,
                                       std::optional<int64_t> offset = {});

// How a call ends that moved nothing because of `error`, a negative errno; what
// its handler is to return.
//
// Where the descriptor is blocking and there is nothing to read or no room, the
// call is pending at a stream of the embedder's and a deadlock at a pipe, whose
// other end nobody else has. EPIPE comes with SIGPIPE.
[[nodiscard]] int64_t TransferFailure(SyscallContext& context, int32_t fd,
                                      int64_t error);

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_BUFFER_TRANSFER_H_
