// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_BOOT_GUEST_REPORT_H_
#define TESTS_BOOT_GUEST_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace libvmm::boot_test {

// What tests/boot/guest/init told on a guest's console: the lines
// "libvmm: KEY" and "libvmm: KEY VALUE", among the kernel's own.
//
// Thread-safety: a value.
class GuestReport {
 public:
  explicit GuestReport(absl::string_view console);

  // Whether KEY was told, with or without a value.
  [[nodiscard]] bool Has(absl::string_view key) const;

  // The first value told for it; empty when none was.
  [[nodiscard]] std::string Value(absl::string_view key) const;

  // All of them, in order.
  [[nodiscard]] std::vector<std::string> Values(absl::string_view key) const;

  // The line of /proc/interrupts whose name or device is `name`: the count of
  // each CPU. Empty when there is no such line.
  [[nodiscard]] std::vector<uint64_t> Interrupts(absl::string_view name) const;

  // The kernel's messages of level warning and above, without level and time,
  // but for those that the lab's emulation is to blame for: it lets a nested
  // guest write XCR0 past KVM, which then tells it a wrong size in CPUID[0xd].
  // QEMU's guests get the same.
  [[nodiscard]] std::vector<std::string> Warnings() const;

 private:
  struct Line {
    std::string key;
    std::string value;
  };

  std::vector<Line> lines_;
};

}  // namespace libvmm::boot_test

#endif  // TESTS_BOOT_GUEST_REPORT_H_
