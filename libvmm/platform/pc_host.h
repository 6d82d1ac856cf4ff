// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_HOST_H_
#define LIBVMM_PLATFORM_PC_HOST_H_

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/clock.h"
#include "libvmm/boot/image_file.h"
#include "libvmm/platform/pc_virtio_host.h"

namespace libvmm {

// The host's side of a serial port.
struct PcSerialHost {
  // Takes what the guest sends, lent for the call, on the vCPU's thread; should
  // not block. Null: nobody listens.
  absl::AnyInvocable<void(std::span<const std::byte> bytes)> output = nullptr;
  // The receiver has room again after Uart16550a::Receive took less than it was
  // given. Null: the embedder does not wait for that.
  absl::AnyInvocable<void()> input_ready = nullptr;
};

// What stands behind a PC on the host's side: the second half of what Pc::Create
// is given. Everything may be left out.
//
// Thread-safety: callbacks are called from vCPU threads, each one from one
//     thread at a time unless it says otherwise.
// Ownership: the Pc owns what is moved in; the clock must outlive it.
struct PcHost {
  std::array<PcSerialHost, 4> serial = {};

  // What the guest writes to the debug console; from several vCPU threads at
  // once.
  absl::AnyInvocable<void(std::span<const std::byte> bytes)> debug_console =
      nullptr;

  // Gives the bytes of a file that PcConfig names: from an archive, from a
  // descriptor opened before the program went into a jail. Null:
  // ImageFile::Open. Only called by Pc::Create.
  absl::AnyInvocable<absl::StatusOr<ImageFile>(absl::string_view path)>
      open_file = nullptr;

  // Called by Pc::Create before each of its longer steps, such as "kernel"; for
  // a progress line. Null: nobody asks.
  absl::AnyInvocable<void(absl::string_view step)> progress = nullptr;

  // What devices and deadlines count by. Null: SystemClock.
  const Clock* clock = nullptr;

  // What the guest's kernel seeds its random numbers with. Nothing: fresh bytes
  // of getrandom(2). Give a constant for a guest that repeats itself.
  std::optional<std::vector<std::byte>> random_seed = std::nullopt;

  PcVirtioHost virtio = {};
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_HOST_H_
