// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_FUSE_REQUEST_H_
#define LIBVMM_DEVICES_VIRTIO_FS_FUSE_REQUEST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "absl/strings/string_view.h"
#include "libvmm/devices/virtio/fs/file_name.h"
#include "libvmm/devices/virtio/fs/fuse_protocol.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"

namespace libvmm {

// A FUSE message in a chain's device-readable buffers: each part is copied out
// once, and what is said of it is said of the copy.
//
// Thread-safety: thread-compatible.
// Ownership: refers to the segments. Views of names are into this object.
// Errors: none; false where a message lacks what is asked for.
// Cost: about 5 KiB, of which what names take is touched; a copy.
class FuseRequest {
 public:
  explicit FuseRequest(std::span<const ChainSegment> segments);
  FuseRequest(const FuseRequest&) = delete;
  FuseRequest& operator=(const FuseRequest&) = delete;

  // There is a header, and its length is at least its own and at most what the
  // driver gave. Only then does the rest mean anything.
  [[nodiscard]] bool valid() const { return valid_; }
  [[nodiscard]] const fuse::InHeader& header() const { return header_; }
  // Bytes of the message not read yet.
  [[nodiscard]] uint64_t remaining() const { return remaining_; }

  // The next structure of the message.
  template <typename T>
  [[nodiscard]] bool Read(T& to) {
    static_assert(std::is_trivially_copyable_v<T>);
    return ReadBytes(std::as_writable_bytes(std::span(&to, 1)));
  }

  // The texts that the rest of the message is: each ends with a NUL, the last
  // one with the message. False, too, when they are together longer than a name
  // and a link's text can be.
  [[nodiscard]] bool ReadTexts(std::span<absl::string_view> texts);

  // The next bytes that lie together, at most `size`; empty at the end.
  [[nodiscard]] std::span<const std::byte> Next(uint64_t size);

 private:
  bool ReadBytes(std::span<std::byte> to);

  ChainReader reader_;
  fuse::InHeader header_;
  uint64_t remaining_ = 0;
  bool valid_ = false;
  std::array<char, kMaxFileName + kMaxLinkText + 2> texts_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_FS_FUSE_REQUEST_H_
