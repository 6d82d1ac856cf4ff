// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_PROGRAM_DYNAMIC_SECTION_H_
#define LIBVMM_SANDBOX_PROGRAM_DYNAMIC_SECTION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace libvmm::sandbox {

// The entries of PT_DYNAMIC by tag (gABI chapter 5, "Dynamic Section"). Known
// are the tags of the gABI's own range below kTags, and DT_FLAGS_1; of a tag that
// occurs twice the last counts, as for glibc's dynamic linker. Values are as
// the file has them, unchecked.
//
// Thread-safety: immutable.
// Ownership: a value.
// Errors: none. Bytes that are no whole entry at the end are ignored.
// Cost: one pass.
class DynamicSection {
 public:
  explicit DynamicSection(std::span<const std::byte> bytes);

  // `tag` is a DT_ constant. Nothing when it is unknown or not there.
  [[nodiscard]] std::optional<uint64_t> Find(int64_t tag) const;
  // Zero when it is not there: right for sizes and flags.
  [[nodiscard]] uint64_t Get(int64_t tag) const {
    return Find(tag).value_or(0);
  }

 private:
  static constexpr size_t kTags = 38;  // up to DT_RELRENT

  std::array<std::optional<uint64_t>, kTags> values_{};
  std::optional<uint64_t> flags_1_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_PROGRAM_DYNAMIC_SECTION_H_
