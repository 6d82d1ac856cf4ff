// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_GUEST_GUEST_IMAGE_H_
#define LIBVMM_EXAMPLES_GUEST_GUEST_IMAGE_H_

#include <cstddef>
#include <span>

namespace libvmm::examples {

// The ELF file that guest.c is built to, for programs that carry it along.
[[nodiscard]] std::span<const std::byte> GuestImage();

}  // namespace libvmm::examples

#endif  // LIBVMM_EXAMPLES_GUEST_GUEST_IMAGE_H_
