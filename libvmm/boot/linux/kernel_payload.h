// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_LINUX_KERNEL_PAYLOAD_H_
#define LIBVMM_BOOT_LINUX_KERNEL_PAYLOAD_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "libvmm/base/mapping.h"

namespace libvmm {

// The vmlinux inside a bzImage (payload_offset and payload_length of the setup
// header), unpacked on the host. A kernel that is entered as vmlinux, by PVH,
// starts without unpacking itself.
//
//   LIBVMM_ASSIGN_OR_RETURN(BzImage image, BzImage::Parse(file.bytes()));
//   LIBVMM_ASSIGN_OR_RETURN(KernelPayload payload,
//                           KernelPayload::Unpack(image.payload()));
//   LIBVMM_ASSIGN_OR_RETURN(PvhKernel kernel,
//                           PvhKernel::Parse(payload.bytes()));
//
// Known are the LZ4 legacy frame, as `lz4 -l` writes it with the size behind as
// Linux's build appends it, and a bare ELF file.
//
// Thread-safety: immutable.
// Ownership: owns the bytes when they were compressed; a bare ELF file stays in
//     the payload, which must then outlive this object. Move-only; a move keeps
//     the bytes where they are.
// Errors: kInvalidArgument for a malformed payload, or one that would unpack to
//     more than `max_size` bytes; kUnimplemented names another format by its
//     magic number; Mapping's, when there is no memory. Memory is bounded by
//     `max_size`, time by the sizes of input and output.
// Cost: unpacking, on the calling thread; anonymous memory of the size.
class KernelPayload {
 public:
  static constexpr uint64_t kDefaultMaxSize = uint64_t{512} << 20;

  static absl::StatusOr<KernelPayload> Unpack(
      std::span<const std::byte> payload, uint64_t max_size = kDefaultMaxSize);

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  KernelPayload(Mapping unpacked, std::span<const std::byte> bytes)
      : unpacked_(std::move(unpacked)), bytes_(bytes) {}

  Mapping unpacked_;  // nothing for a bare ELF file
  std::span<const std::byte> bytes_;
};

}  // namespace libvmm

#endif  // LIBVMM_BOOT_LINUX_KERNEL_PAYLOAD_H_
