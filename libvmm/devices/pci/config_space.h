// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_CONFIG_SPACE_H_
#define LIBVMM_DEVICES_PCI_CONFIG_SPACE_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace libvmm {

// The bytes of a function's configuration space, and which of their bits the
// guest can write. Storage only: what a register does belongs to PciFunction.
//
// Thread-safety: thread-compatible.
// Ownership: owns its bytes.
// Errors: of adding capabilities only. Accesses never fail.
// Cost: two allocations of 256 bytes, or of 4 KiB, each.
class PciConfigSpace {
 public:
  // All zero and read-only. `size` is pci::kConventionalConfigSize or
  // pci::kExtendedConfigSize.
  explicit PciConfigSpace(uint64_t size);

  [[nodiscard]] uint64_t size() const { return values_.size(); }

  // ---- The guest's side ----------------------------------------------------

  // Any offset and size. Bytes behind the end read all ones, as from a function
  // without an extended space.
  void Read(uint64_t offset, std::span<std::byte> data) const;

  // Changes the writable bits; bytes behind the end are dropped.
  void Write(uint64_t offset, std::span<const std::byte> data);

  // ---- The device's side: little-endian values, inside size() ---------------

  template <std::unsigned_integral T>
  [[nodiscard]] T Get(uint64_t offset) const {
    return static_cast<T>(Load(values_, offset, sizeof(T)));
  }
  // Read-only bits too.
  template <std::unsigned_integral T>
  void Set(uint64_t offset, T value) {
    Store(values_, offset, {.value = value, .size = sizeof(T)});
  }
  template <std::unsigned_integral T>
  [[nodiscard]] T Writable(uint64_t offset) const {
    return static_cast<T>(Load(writable_, offset, sizeof(T)));
  }
  // Lets the guest write the bits of `mask`, and no others of this register.
  template <std::unsigned_integral T>
  void SetWritable(uint64_t offset, T mask) {
    Store(writable_, offset, {.value = mask, .size = sizeof(T)});
  }

  // ---- Capabilities ---------------------------------------------------------

  // What a capability holds behind its header, and which bits of that the guest
  // can write; bytes that `writable` does not reach are read-only.
  struct Body {
    std::span<const uint8_t> bytes;
    std::span<const uint8_t> writable = {};
  };

  // Appends to the list that begins at the Capabilities Pointer, at the next
  // free dword, and sets Status.Capabilities. Returns where its header is.
  //   kInvalidArgument: more writable bytes than there are.
  //   kResourceExhausted: it would pass byte 255.
  absl::StatusOr<uint16_t> AddCapability(uint8_t id, const Body& body);

  // The same for the list at pci::kFirstExtendedCapability.
  //   kFailedPrecondition: the space is a conventional one.
  struct ExtendedId {
    uint16_t id = 0;
    uint8_t version = 1;
  };
  absl::StatusOr<uint16_t> AddExtendedCapability(ExtendedId id,
                                                 const Body& body);

  // ---- All of it ------------------------------------------------------------

  [[nodiscard]] std::span<const uint8_t> values() const { return values_; }
  // The first byte in which `values` differs from this space in a bit that is
  // not writable; nothing of the kind, the size. `values` has size() bytes.
  [[nodiscard]] uint64_t FindReadOnlyChange(
      std::span<const uint8_t> values) const;
  // Replaces everything, read-only bits too. `values` has size() bytes.
  void SetValues(std::span<const uint8_t> values);

 private:
  struct Number {
    uint64_t value;
    size_t size;
  };
  static uint64_t Load(std::span<const uint8_t> bytes, uint64_t offset,
                       size_t size);
  static void Store(std::span<uint8_t> bytes, uint64_t offset, Number number);
  void PutBody(uint64_t offset, const Body& body);

  std::vector<uint8_t> values_;
  std::vector<uint8_t> writable_;
  // The first byte that no capability has taken, and the last one's header.
  uint16_t next_ = 0;
  uint16_t last_ = 0;
  uint16_t next_extended_ = 0;
  uint16_t last_extended_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_CONFIG_SPACE_H_
