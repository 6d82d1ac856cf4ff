// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_LOOPS_GUEST_IMAGE_H_
#define LIBVMM_EXAMPLES_LOOPS_GUEST_IMAGE_H_

#include <cstddef>
#include <span>

namespace loops {

// The ELF file that guest.c is built to.
[[nodiscard]] std::span<const std::byte> GuestImage();

}  // namespace loops

#endif  // LIBVMM_EXAMPLES_LOOPS_GUEST_IMAGE_H_
