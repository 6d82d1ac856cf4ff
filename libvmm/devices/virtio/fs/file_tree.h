// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_FILE_TREE_H_
#define LIBVMM_DEVICES_VIRTIO_FS_FILE_TREE_H_

#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "libvmm/devices/virtio/fs/fuse_protocol.h"
#include "libvmm/memory/file_transfer.h"

namespace libvmm {

// Files for a guest, behind FuseServer: HostDirectory has those of the host, an
// embedder's own tree whatever it likes, from memory or computed. Those ten
// functions without a default are enough for files that can be read. What is
// left out answers EROFS where it would write, success where it would sync,
// EINVAL for ReadLink, else ENOSYS.
//
// Nodes are files and directories, named by numbers of the tree's choice but
// for the root, which is fuse::kRootNode. A node's number must stay until the
// guest forgets it: each Entry given out counts one lookup, Forget takes them
// back. Handles are open files and directories. Both numbers come from the
// guest and may be any; that of a node that is not there is answered with
// ESTALE, that of a handle with EBADF.
//
// Names of a Place are what CheckFileName lets pass; they end where the view
// does.
//
// Thread-safety: thread-safe: a device with several request queues calls from
//     several threads at once.
// Ownership: the server refers to it. Views and spans are lent for the call.
//     Read's and Write's buffers are guest memory, which changes meanwhile.
// Errors: functions return zero, or an errno of Linux that the guest's caller
//     gets. Out-parameters count only after zero.
// Cost: a call blocks the thread that serves the queue.
class FileTree {
 public:
  using Node = uint64_t;
  using Handle = uint64_t;

  struct Place {
    Node parent = fuse::kRootNode;
    absl::string_view name = {};
  };
  struct Entry {
    Node node = 0;
    fuse::Attributes attributes = {};
  };
  // A file to be made. The guest's umask has been applied.
  struct NewFile {
    // Bits 11:0 permissions, for MakeNode the type (S_IFMT) above them.
    uint32_t mode = 0;
    // Who made it, in the guest.
    uint32_t uid = 0;
    uint32_t gid = 0;
  };
  struct NewTime {
    // Now, whatever the rest says.
    bool now = false;
    int64_t seconds = 0;
    // Below 10^9.
    uint32_t nanoseconds = 0;
  };
  struct Changes {
    // Permissions, bits 11:0.
    std::optional<uint32_t> mode = std::nullopt;
    std::optional<uint32_t> uid = std::nullopt;
    std::optional<uint32_t> gid = std::nullopt;
    std::optional<uint64_t> size = std::nullopt;
    std::optional<NewTime> access_time = std::nullopt;
    std::optional<NewTime> modify_time = std::nullopt;
    // The open file that is changed.
    std::optional<Handle> handle = std::nullopt;
  };
  struct DirectoryEntry {
    absl::string_view name = {};
    uint64_t inode = 0;
    // What `offset` continues behind it.
    uint64_t next_offset = 0;
    // DT_REG and the like of readdir(3).
    uint8_t type = 0;
  };

  virtual ~FileTree() = default;

  // ---- Nodes -----------------------------------------------------------------

  [[nodiscard]] virtual int Lookup(const Place& place, Entry& entry) = 0;
  // `lookups` may be more than there were.
  virtual void Forget(Node node, uint64_t lookups) = 0;
  [[nodiscard]] virtual int GetAttributes(Node node,
                                          std::optional<Handle> handle,
                                          fuse::Attributes& attributes) = 0;
  [[nodiscard]] virtual int SetAttributes(Node, const Changes&,
                                          fuse::Attributes&) {
    return EROFS;
  }
  // `to` has room for kMaxLinkText bytes.
  [[nodiscard]] virtual int ReadLink(Node, std::span<char> /*to*/,
                                     size_t& /*size*/) {
    return EINVAL;
  }
  // `mask` as in access(2).
  [[nodiscard]] virtual int Access(Node, uint32_t /*mask*/) { return ENOSYS; }

  [[nodiscard]] virtual int Symlink(const Place&, absl::string_view /*text*/,
                                    const NewFile&, Entry&) {
    return EROFS;
  }
  [[nodiscard]] virtual int MakeNode(const Place&, const NewFile&, Entry&) {
    return EROFS;
  }
  [[nodiscard]] virtual int MakeDirectory(const Place&, const NewFile&,
                                          Entry&) {
    return EROFS;
  }
  [[nodiscard]] virtual int Link(Node, const Place&, Entry&) { return EROFS; }
  [[nodiscard]] virtual int Unlink(const Place&) { return EROFS; }
  [[nodiscard]] virtual int RemoveDirectory(const Place&) { return EROFS; }
  // `flags` as in renameat2(2).
  [[nodiscard]] virtual int Rename(const Place& /*from*/, const Place& /*to*/,
                                   uint32_t /*flags*/) {
    return EROFS;
  }

  // ---- Open files ------------------------------------------------------------

  // `flags` as in open(2) of Linux on x86, as the guest sent them.
  [[nodiscard]] virtual int Open(Node node, uint32_t flags, Handle& handle) = 0;
  [[nodiscard]] virtual int Create(const Place&, const NewFile&,
                                   uint32_t /*flags*/, Entry&, Handle&) {
    return EROFS;
  }
  virtual void Release(Handle handle) = 0;
  // Fill `to` and write `from` from the front, at most
  // fuse_server::kMaxTransfer; the spans' own contents may be changed on the
  // way. To a guest a file ends where a read comes back short: an error on the
  // way fails all of it. A write that comes back short is taken up where it
  // stopped.
  [[nodiscard]] virtual FileTransfer Read(Handle handle, uint64_t offset,
                                          std::span<iovec> to) = 0;
  [[nodiscard]] virtual FileTransfer Write(Handle, uint64_t /*offset*/,
                                           std::span<iovec> /*from*/) {
    return {.error = EROFS};
  }
  // What was written is on stable storage when this returns zero. Of the size
  // and contents alone with `data_only`.
  [[nodiscard]] virtual int Sync(Handle, bool /*data_only*/) { return 0; }
  // `mode` as in fallocate(2).
  [[nodiscard]] virtual int Allocate(Handle, uint64_t /*offset*/,
                                     uint64_t /*length*/, uint32_t /*mode*/) {
    return ENOSYS;
  }
  // `whence` as in lseek(2): SEEK_DATA and SEEK_HOLE.
  [[nodiscard]] virtual int Seek(Handle, uint64_t /*offset*/,
                                 uint32_t /*whence*/, uint64_t& /*found*/) {
    return ENOSYS;
  }
  struct Range {
    Handle handle = 0;
    uint64_t offset = 0;
  };
  // May copy less than `length`.
  [[nodiscard]] virtual FileTransfer Copy(const Range& /*from*/,
                                          const Range& /*to*/,
                                          uint64_t /*length*/) {
    return {.error = ENOSYS};
  }

  // ---- Directories -----------------------------------------------------------

  [[nodiscard]] virtual int OpenDirectory(Node node, Handle& handle) = 0;
  // Calls `add` for each entry from `offset` on, zero or what an entry had for
  // next_offset, until it returns false: that entry was not taken. "." and ".."
  // are entries too if the tree wants. An error counts when nothing was added.
  [[nodiscard]] virtual int ReadDirectory(
      Handle handle, uint64_t offset,
      absl::FunctionRef<bool(const DirectoryEntry&)> add) = 0;
  // As Release and Sync.
  virtual void ReleaseDirectory(Handle handle) = 0;
  [[nodiscard]] virtual int SyncDirectory(Handle, bool /*data_only*/) {
    return 0;
  }

  // ---- The whole -------------------------------------------------------------

  [[nodiscard]] virtual int StatFileSystem(Node, fuse::FileSystemOut&) {
    return ENOSYS;
  }
  [[nodiscard]] virtual int SyncFileSystem() { return 0; }
  // The guest is gone, or starts anew: all lookups are forgotten, all handles
  // released. Calls on other threads may be under way.
  virtual void Clear() = 0;

 protected:
  FileTree() = default;
  FileTree(const FileTree&) = default;
  FileTree& operator=(const FileTree&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_FS_FILE_TREE_H_
