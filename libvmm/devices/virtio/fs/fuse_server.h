// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_FUSE_SERVER_H_
#define LIBVMM_DEVICES_VIRTIO_FS_FUSE_SERVER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/time/time.h"
#include "libvmm/devices/virtio/fs/file_tree.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

namespace fuse_server {

// Bytes that one READ, WRITE or READDIR moves at most: 256 pages, which with the
// headers stay below DescriptorChain::kMaxSegments.
inline constexpr uint32_t kMaxPages = 256;
inline constexpr uint32_t kPageSize = 4096;
inline constexpr uint32_t kMaxTransfer = kMaxPages * kPageSize;
// Nodes that one BATCH_FORGET names at most.
inline constexpr uint32_t kMaxForgets = 4096;

}  // namespace fuse_server

// Answers FUSE messages from a FileTree: what Linux's virtiofs sends
// (<linux/fuse.h>, 7.31 to 7.38). Extended attributes, locks, ioctl, poll,
// mappings (DAX) and temporary files are answered ENOSYS or ENOTTY, upon which
// Linux does without, locks within the guest included.
//
// A session begins with INIT, which forgets the one before, and ends with
// DESTROY. What comes outside of one is answered EIO.
//
// Thread-safety: thread-safe; Serve runs on several threads at once.
// Ownership: refers to the tree.
// Errors: none; a message that is not well formed is answered EINVAL, or
//     kMalformed when there is nothing to answer.
// Cost: no allocation and no lock of its own. Data goes between the guest's
//     buffers and FileTree::Read and Write without a copy.
class FuseServer {
 public:
  struct Options {
    // How long guests may keep names and attributes without asking again. What
    // the host changes is seen after that; zero: at once, at the price of a
    // request for each use of a name.
    absl::Duration cache_for = absl::Seconds(1);
  };

  FuseServer(FileTree& tree, const Options& options);
  FuseServer(const FuseServer&) = delete;
  FuseServer& operator=(const FuseServer&) = delete;

  enum class Outcome : uint8_t {
    // `written` bytes of the reply's room are filled.
    kReplied,
    // The message wants no reply.
    kNoReply,
    // There is no whole header, or no room for a reply's: the driver broke the
    // rules.
    kMalformed,
  };
  struct Result {
    Outcome outcome = Outcome::kMalformed;
    uint32_t written = 0;
  };
  [[nodiscard]] Result Serve(std::span<const ChainSegment> message,
                             std::span<const ChainSegment> room,
                             GuestMemory& memory);

  // As DESTROY does.
  void EndSession();

 private:
  class Call;

  FileTree& tree_;
  // In the two fields that replies have.
  uint64_t cache_seconds_;
  uint32_t cache_nanoseconds_;
  // INIT was answered.
  std::atomic<bool> started_ = false;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_FS_FUSE_SERVER_H_
