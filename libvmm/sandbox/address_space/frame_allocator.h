// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_ADDRESS_SPACE_FRAME_ALLOCATOR_H_
#define LIBVMM_SANDBOX_ADDRESS_SPACE_FRAME_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "libvmm/base/address.h"

namespace libvmm::sandbox {

enum class FrameUse : uint8_t { kPage, kTable };

// Which frames of 4 KiB of guest memory hold what. Only a record: it never
// touches the memory.
//
// A freed frame rests until ReleaseFreed(): as long as a translation to it may
// be cached somewhere, it does not become another page.
//
// Thread-safety: thread-compatible.
// Ownership: a value; copying it takes a snapshot.
// Errors: none. A frame that is not in use cannot be freed, so a damaged page
//     table leads to no double use.
// Cost: two bits for each frame ever used. Allocate looks at 64 frames at a
//     time.
class FrameAllocator {
 public:
  static constexpr uint64_t kFrameSize = 4096;

  // `managed` is a multiple of kFrameSize, as is its start. All frames are
  // fresh.
  explicit FrameAllocator(GpaRange managed);

  struct Frame {
    Gpa gpa;
    // Nobody used it before. Other frames hold what they held when they were
    // freed.
    bool fresh = false;
  };
  // Nothing when no frame is left. Freed frames go first.
  std::optional<Frame> Allocate(FrameUse use);

  // For a new allocator: takes the first `count` frames for tables. False when
  // there are fewer.
  bool TakeFirstTables(uint64_t count);

  // False when the frame is not in use.
  bool Free(Gpa frame);
  // Makes the frames freed so far available.
  void ReleaseFreed();
  [[nodiscard]] bool has_resting() const { return !resting_.empty(); }

  // What a frame is used for; nothing when it is free, resting or not managed.
  [[nodiscard]] std::optional<FrameUse> UseOf(Gpa frame) const;

  // How many frames Allocate would give out, and how many are in use. Frames
  // that rest are neither.
  [[nodiscard]] uint64_t available() const;
  [[nodiscard]] uint64_t used() const { return used_; }
  [[nodiscard]] GpaRange managed() const { return managed_; }

 private:
  [[nodiscard]] std::optional<uint64_t> IndexOf(Gpa frame) const;

  GpaRange managed_;
  uint64_t fresh_from_ = 0;  // Frames from here on were never used.
  uint64_t first_free_ = 0;  // No frame below it is free.
  uint64_t free_ = 0;        // Free frames below fresh_from_.
  uint64_t used_ = 0;
  // Two bits for each frame below fresh_from_: neither is free, `taken` alone a
  // page, both a table, `tables` alone a frame that rests.
  std::vector<uint64_t> taken_;
  std::vector<uint64_t> tables_;
  std::vector<uint32_t> resting_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_ADDRESS_SPACE_FRAME_ALLOCATOR_H_
