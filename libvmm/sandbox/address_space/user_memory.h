// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_ADDRESS_SPACE_USER_MEMORY_H_
#define LIBVMM_SANDBOX_ADDRESS_SPACE_USER_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "absl/functional/function_ref.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/address_space/area.h"
#include "libvmm/sandbox/address_space/user_access.h"

namespace libvmm::sandbox {

// The memory of user code as its system calls see it: bytes at user addresses,
// with the rights that user code itself has. Pages that have no frame yet get
// one.
//
//   UserMemory user(space);
//   if (!user.Write(buffer, bytes)) return -EFAULT;
//
// Addresses and sizes may be any numbers. User code is stopped, so what is read
// does not change by itself; still copy once, then validate, since two reads
// may be at addresses that overlap what was written between them.
//
// Thread-safety: thread-compatible; as the AddressSpace.
// Ownership: refers to the AddressSpace; cheap to make for one call.
// Errors: false, or nothing, where user code would fault (EFAULT). Before the
//     bad page, bytes may have been transferred. ran_out() tells whether the
//     reason was the memory ceiling.
// Cost: a walk of four loads for each page, and the copy. Sizes are the
//     caller's to limit: a range of lazy pages gets frames for all of them.
class UserMemory {
 public:
  explicit UserMemory(AddressSpace& space) : space_(space) {}

  [[nodiscard]] bool Read(Gva gva, std::span<std::byte> to);
  [[nodiscard]] bool Write(Gva gva, std::span<const std::byte> from);
  [[nodiscard]] bool Fill(GvaRange range, std::byte value);

  // One trivially copyable value.
  template <typename T>
  [[nodiscard]] std::optional<T> Load(Gva gva) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    if (!Read(gva, std::as_writable_bytes(std::span(&value, 1)))) return {};
    return value;
  }
  template <typename T>
  [[nodiscard]] bool Store(Gva gva, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return Write(gva, std::as_bytes(std::span(&value, 1)));
  }

  // A string that ends with a NUL; `too_long` when its first `max` bytes have
  // none.
  struct String {
    std::string text;
    bool too_long = false;
  };
  [[nodiscard]] std::optional<String> ReadString(Gva gva, size_t max);

  // Calls `visit` for each piece of the range that lies together in guest
  // memory, in order, until it returns false, which is then the result. First makes all pages usable for
  // `kind`; false, with no call, when one is not. An empty range succeeds. For
  // GuestMemory::ReadFromFile and WriteToFile.
  bool ForEachPiece(GvaRange range, AccessKind kind,
                    absl::FunctionRef<bool(GpaRange)> visit);

  // The same as host memory, for iovecs. Written pieces are marked dirty when
  // they are handed out: write them before dirty pages are next collected, and
  // before the areas change.
  bool ForEachReadableSpan(
      GvaRange range,
      absl::FunctionRef<bool(std::span<const std::byte>)> visit);
  bool ForEachWritableSpan(GvaRange range,
                           absl::FunctionRef<bool(std::span<std::byte>)> visit);

  // How many bytes from range.start on can be used for `kind`, up to
  // range.size: for calls that transfer what they can. Makes their pages usable.
  [[nodiscard]] uint64_t UsableBytes(GvaRange range, AccessKind kind);

  // A loader's write: into any mapped page, also one that user code can only
  // read, execute or not use at all.
  [[nodiscard]] bool LoadWrite(Gva gva, std::span<const std::byte> from);
  [[nodiscard]] bool LoadRead(Gva gva, std::span<std::byte> to);

  // True when an access failed because no frame was left.
  [[nodiscard]] bool ran_out() const { return ran_out_; }

 private:
  struct Use {
    // Nothing: a loader's, which needs no right.
    std::optional<AccessKind> kind = std::nullopt;
  };
  std::optional<Gpa> Resolve(Gva gva, Use use);
  bool ForEachPage(GvaRange range, Use use,
                   absl::FunctionRef<bool(GpaRange)> visit);
  bool Copy(Gva gva, std::span<std::byte> to, Use use);
  bool Copy(Gva gva, std::span<const std::byte> from, Use use);

  AddressSpace& space_;
  bool ran_out_ = false;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_ADDRESS_SPACE_USER_MEMORY_H_
