// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_HOST_DIRECTORY_H_
#define LIBVMM_DEVICES_VIRTIO_FS_HOST_DIRECTORY_H_

#include <sys/stat.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/fs/file_identity.h"
#include "libvmm/devices/virtio/fs/file_tree.h"
#include "libvmm/devices/virtio/fs/fuse_protocol.h"
#include "libvmm/devices/virtio/fs/handle_table.h"
#include "libvmm/devices/virtio/fs/node_table.h"
#include "libvmm/devices/virtio/fs/open_beneath.h"
#include "libvmm/memory/file_transfer.h"

namespace libvmm {

// A directory of the host, shared with a guest: all below it can be read and,
// unless read_only, changed with the rights of this process; nothing beside it
// can be reached.
//
// Confinement. A name is one step down, resolved by openat2(2) beneath the
// directory's descriptor (RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS,
// RESOLVE_NO_MAGICLINKS, and RESOLVE_NO_XDEV unless cross_mounts). Symbolic
// links are read as text and followed by the guest, never by the host. Whoever
// swaps directories and links on the host meanwhile gets at most ESTALE.
// Devices, FIFOs and sockets can be seen, and FIFOs and sockets made, but none
// is ever opened.
// What the host itself moves out of the directory while a guest uses it stays
// within the guest's reach until it has forgotten it.
//
// Owners. Files that the guest makes belong to this process, and changing
// owners is EPERM. The guest sees the host's owners, or everything as
// `shown_owner`'s. Guests do not set the set-user-ID and set-group-ID bits: they
// are left out of new modes, and taken off a file before it is written; the
// set-group-ID bit of directories stays as the host has it.
// The mode that the guest asked for is set whatever this process's umask is.
//
// Thread-safety: thread-safe.
// Ownership: holds the directory, at most max_open_nodes descriptors of files
//     that the guest knows and max_handles of those it has open. Belongs to the
//     process that made it: a child after fork makes its own.
// Errors: Create's Status; ENFILE to the guest at a limit, ESTALE where the host
//     changed a file behind its back. A program with a limit on the size of its
//     files (RLIMIT_FSIZE) ignores SIGXFSZ, else a guest's write ends it.
// Cost: a few system calls for each operation, one for Read and Write; a lock
//     for some instructions, and over an openat2 where a file's descriptor had
//     been closed for want of room. Memory: up to 450 bytes for each node.
class HostDirectory final : public FileTree {
 public:
  struct Owner {
    uint32_t uid = 0;
    uint32_t gid = 0;
  };
  struct Options {
    // Of the directory; links on the way are followed.
    std::string path = {};
    // All that would change anything is EROFS.
    bool read_only = false;
    // Go into other file systems mounted below; else EXDEV. The guest sees one
    // file system: files of two of them may show the same number, and its
    // sync(2) reaches the disk of the directory's own one only, fsync(2) every.
    bool cross_mounts = false;
    std::optional<Owner> shown_owner = std::nullopt;
    // Files and directories that the guest may know at a time. Linux forgets
    // none before it is short of memory, and gets ENFILE beyond.
    uint32_t max_nodes = 262144;
    // Of those, how many are kept open; at least 64 more than max_handles.
    uint32_t max_open_nodes = 512;
    // Files and directories that the guest may have open at a time.
    uint32_t max_handles = 256;
  };

  // kInvalidArgument: the path is empty, a limit cannot be; kUnimplemented: the
  // kernel has no openat2 (before Linux 5.6); kFailedPrecondition: /proc is not
  // there; else what the host says of the path.
  static absl::StatusOr<std::unique_ptr<HostDirectory>> Create(
      const Options& options);
  HostDirectory(const HostDirectory&) = delete;
  HostDirectory& operator=(const HostDirectory&) = delete;
  ~HostDirectory() override;

  int Lookup(const Place& place, Entry& entry) override;
  void Forget(Node node, uint64_t lookups) override;
  int GetAttributes(Node node, std::optional<Handle> handle,
                    fuse::Attributes& attributes) override;
  int SetAttributes(Node node, const Changes& changes,
                    fuse::Attributes& attributes) override;
  int ReadLink(Node node, std::span<char> to, size_t& size) override;
  int Access(Node node, uint32_t mask) override;
  int Symlink(const Place& place, absl::string_view text, const NewFile& file,
              Entry& entry) override;
  int MakeNode(const Place& place, const NewFile& file, Entry& entry) override;
  int MakeDirectory(const Place& place, const NewFile& file,
                    Entry& entry) override;
  int Link(Node node, const Place& place, Entry& entry) override;
  int Unlink(const Place& place) override;
  int RemoveDirectory(const Place& place) override;
  int Rename(const Place& from, const Place& to, uint32_t flags) override;
  int Open(Node node, uint32_t flags, Handle& handle) override;
  int Create(const Place& place, const NewFile& file, uint32_t flags,
             Entry& entry, Handle& handle) override;
  void Release(Handle handle) override;
  FileTransfer Read(Handle handle, uint64_t offset,
                    std::span<iovec> to) override;
  FileTransfer Write(Handle handle, uint64_t offset,
                     std::span<iovec> from) override;
  int Sync(Handle handle, bool data_only) override;
  int Allocate(Handle handle, uint64_t offset, uint64_t length,
               uint32_t mode) override;
  int Seek(Handle handle, uint64_t offset, uint32_t whence,
           uint64_t& found) override;
  FileTransfer Copy(const Range& from, const Range& to,
                    uint64_t length) override;
  int OpenDirectory(Node node, Handle& handle) override;
  int ReadDirectory(
      Handle handle, uint64_t offset,
      absl::FunctionRef<bool(const DirectoryEntry&)> add) override;
  void ReleaseDirectory(Handle handle) override;
  int SyncDirectory(Handle handle, bool data_only) override;
  int StatFileSystem(Node node, fuse::FileSystemOut& out) override;
  int SyncFileSystem() override;
  void Clear() override;

  // Nodes that the guest knows now, the root included; how many of them are
  // open; and handles.
  struct Usage {
    uint32_t nodes = 0;
    uint32_t open_nodes = 0;
    uint32_t handles = 0;
  };
  [[nodiscard]] Usage usage() const;

 private:
  struct Roots;
  HostDirectory(const Options& options, Roots roots);

  // A place whose directory is pinned and whose name was checked.
  struct Step;

  int Pin(const Place& place, Step& step);
  // Pin for what changes the directory.
  int PinForChange(const Place& place, Step& step);
  // The file at `step` as an entry: counts a lookup.
  int Enter(const Step& step, Entry& entry);
  // The file that `path`, O_PATH, is of.
  int EnterFile(UniqueFd path, const Step& step, Entry& entry);
  // A file just made at `step`: its permissions shall be `mode`.
  int EnterNew(const Step& step, uint32_t mode, Entry& entry);
  // Opens the file that `path`, O_PATH, is of.
  int Reopen(int path, int flags, UniqueFd& opened) const;
  int SetMode(int path, uint32_t mode) const;
  // Takes set-user-ID and set-group-ID off a file about to be written.
  int DropPrivileges(int path) const;
  int OpenNode(internal::PinnedNode node, uint32_t flags, Handle& handle);
  int Stat(int fd, fuse::Attributes& attributes) const;
  fuse::Attributes AttributesOf(const struct statx& stat) const;
  int SetSize(const internal::PinnedNode& node, std::optional<Handle> handle,
              uint64_t size);
  int SetTimes(const internal::PinnedNode& node, const Changes& changes) const;
  // Tells the table what is at `step` now.
  void NoteMoved(const Step& step);
  int SyncHandle(Handle handle, bool data_only);

  const bool read_only_;
  const internal::Beneath beneath_;
  const std::optional<Owner> shown_owner_;
  // /proc/self/fd, through which a path descriptor becomes an open file.
  const UniqueFd proc_;
  // The directory, open for syncfs(2); and what it is.
  const UniqueFd directory_;
  const internal::FileIdentity root_;
  internal::NodeTable nodes_;
  internal::HandleTable handles_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_FS_HOST_DIRECTORY_H_
