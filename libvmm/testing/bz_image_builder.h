// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_BZ_IMAGE_BUILDER_H_
#define LIBVMM_TESTING_BZ_IMAGE_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace libvmm::testing {

// Puts a bzImage together byte by byte: one setup sector, and the
// protected-mode kernel behind it, whose 64-bit entry is at offset 0x200.
// Valid as long as the test leaves it so: Set spoils any field of the setup
// header by its offset in the file (Linux's Documentation/x86/boot.rst).
//
//   BzImageBuilder kernel;
//   kernel.SetCode(code).SetPayload(payload).Set<uint16_t>(0x206, 0x0201);
//   std::vector<std::byte> file = kernel.Build();
class BzImageBuilder {
 public:
  static constexpr uint64_t kSetupSize = 2 * 512;
  static constexpr uint64_t kEntryOffset = 0x200;
  static constexpr uint64_t kPreferredAddress = 0x100000;
  static constexpr uint32_t kInitSize = 0x10000;
  static constexpr uint32_t kAlignment = 0x1000;
  static constexpr uint32_t kCommandLineSize = 255;

  // Offsets that tests write often.
  static constexpr uint64_t kSyssize = 0x1f4;
  static constexpr uint64_t kPayloadOffset = 0x248;

  BzImageBuilder() : file_(kSetupSize) {
    Set<uint8_t>(0x1f1, 1);            // setup_sects
    Set<uint16_t>(0x1fe, 0xaa55);      // boot_flag
    Set<uint16_t>(0x200, 0x6aeb);      // jump: the header ends at 0x26c
    Set<uint32_t>(0x202, 0x53726448);  // header, "HdrS"
    Set<uint16_t>(0x206, 0x020f);      // version 2.15
    Set<uint8_t>(0x211, 0x01);         // loadflags: LOADED_HIGH
    Set<uint32_t>(0x22c, 0x7fffffff);  // initrd_addr_max
    Set<uint32_t>(0x230, kAlignment);  // kernel_alignment
    Set<uint8_t>(0x234, 1);            // relocatable_kernel
    Set<uint16_t>(0x236, 0x0003);      // xloadflags: KERNEL_64, ABOVE_4G
    Set<uint32_t>(0x238, kCommandLineSize);
    Set<uint64_t>(0x258, kPreferredAddress);
    Set<uint32_t>(0x260, kInitSize);
    SetCode({});
  }

  template <typename T>
  BzImageBuilder& Set(uint64_t offset, T value) {
    std::memcpy(file_.data() + offset, &value, sizeof value);
    return *this;
  }

  // The protected-mode kernel: zeros up to the 64-bit entry, and `code` there.
  // Without code one paragraph of zeros.
  BzImageBuilder& SetCode(std::span<const uint8_t> code) {
    file_.resize(kSetupSize + kEntryOffset);
    Append(std::as_bytes(code));
    if (code.empty()) file_.resize(file_.size() + kParagraph);
    return SetSize();
  }

  // Appends the payload, after SetCode, and says where it is.
  BzImageBuilder& SetPayload(std::span<const std::byte> payload) {
    Set(kPayloadOffset, static_cast<uint32_t>(file_.size() - kSetupSize));
    Set(kPayloadOffset + 4, static_cast<uint32_t>(payload.size()));
    Append(payload);
    return SetSize();
  }

  [[nodiscard]] std::vector<std::byte> Build() const { return file_; }

 private:
  static constexpr size_t kParagraph = 16;

  void Append(std::span<const std::byte> bytes) {
    file_.insert(file_.end(), bytes.begin(), bytes.end());
    file_.resize((file_.size() + kParagraph - 1) / kParagraph * kParagraph);
  }

  BzImageBuilder& SetSize() {
    return Set(kSyssize,
               static_cast<uint32_t>((file_.size() - kSetupSize) / kParagraph));
  }

  std::vector<std::byte> file_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_BZ_IMAGE_BUILDER_H_
