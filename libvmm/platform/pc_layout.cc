// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_layout.h"

#include <algorithm>

namespace libvmm {

PcLayout PcLayout::ForRam(uint64_t ram_size) {
  constexpr uint64_t kWindowAlignment = uint64_t{1} << 30;
  PcLayout layout;
  layout.low_ram = {Gpa(0), std::min(ram_size, kPciWindow.start.value())};
  layout.high_ram = {kHighRam, ram_size - layout.low_ram.size};
  const uint64_t high_end = kHighRam.value() + layout.high_ram.size;
  layout.pci_window_64 = {Gpa((high_end + kWindowAlignment - 1) /
                              kWindowAlignment * kWindowAlignment),
                          kPciWindow64Size};
  return layout;
}

}  // namespace libvmm
