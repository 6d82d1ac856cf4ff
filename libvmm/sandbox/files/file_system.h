// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_FILE_SYSTEM_H_
#define LIBVMM_SANDBOX_FILES_FILE_SYSTEM_H_

#include <sys/types.h>
#include <time.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libvmm/sandbox/files/descriptor_table.h"
#include "libvmm/sandbox/files/file_limits.h"
#include "libvmm/sandbox/files/file_stat.h"
#include "libvmm/sandbox/files/file_system_state.h"
#include "libvmm/sandbox/files/file_tree.h"
#include "libvmm/sandbox/files/node_table.h"
#include "libvmm/sandbox/files/path_walk.h"
#include "libvmm/sandbox/files/standard_streams.h"

namespace libvmm::sandbox {

// The file system of one sandboxed Linux program, in host memory: a private
// writable layer over a FileTree, a table of descriptors, a working directory
// and a umask. Nothing in it is a file or a descriptor of the host.
//
//   LIBVMM_ASSIGN_OR_RETURN(
//       std::unique_ptr<FileSystem> files,
//       FileSystem::Create({.tree = tree, .streams = {.output = Print}}));
//   const int64_t fd = files->Open(AT_FDCWD, "/tmp/x", O_CREAT | O_RDWR, 0644);
//   const FileSystemState state = files->Save();
//   ...
//   files->Restore(state);
//
// The calls that a program makes have the shape of Linux system calls: flags,
// modes and dirfds with their values for x86-64, results from 0 up or a negated
// errno, as the manual pages give them. What is different:
//  - The program is root: permissions are kept and shown, but hinder nothing,
//    except that access(X_OK) wants an x bit on a file.
//  - Nothing ever blocks. What would is -EAGAIN, whether or not O_NONBLOCK is
//    set: an empty pipe whose writing end is open, a full one, a stream whose
//    function says so. A write to a pipe takes what fits, all or nothing up to
//    PIPE_BUF bytes. -EPIPE comes without a signal.
//  - Access times do not follow reads.
//  - ".." of a removed directory whose parent is gone too is -ENOENT.
//  - No named pipes, sockets, O_TMPFILE or RENAME_EXCHANGE.
// Resolution starts at the root or a descriptor, ".." ends at the root, and at
// most 40 symbolic links are followed: there is no way out of the tree.
//
// Paths and names are bytes. A path must not contain NUL: the caller cut it
// there; one of kPathLimit bytes or more is -ENAMETOOLONG. Buffers may lie in
// guest memory: they are written or read once, and never read back.
//
// Thread-safety: thread-compatible. FileSystems that share a tree or a state
//     may be used by different threads.
// Ownership: shares the tree and the nodes of its last Save or Restore; owns
//     the streams' functions.
// Errors: absl::Status is for the embedder only. A program's call allocates no
//     error and cannot make host memory grow beyond FileLimits.
// Cost: a path costs a tree look-up a name, reads and writes a memcpy and some
//     100 ns. The first change of a file since Save copies its node (a
//     directory's entries, 24 bytes for each 64 KiB of a file), and of
//     contents only blocks of 64 KiB that change.
class FileSystem {
 public:
  struct Options {
    // What there is at first; null is an empty root directory.
    std::shared_ptr<const FileTree> tree{};
    FileLimits limits{};
    StandardStreams streams{};
    // Fills the bytes for /dev/random and /dev/urandom. Without it opening them
    // is -ENXIO.
    absl::AnyInvocable<void(std::span<std::byte>)> random = nullptr;
    // The time of changes; without it the host's (absl::Now).
    absl::AnyInvocable<absl::Time()> now = nullptr;
    // Every change of a file or directory is -EROFS. Pipes still work.
    bool read_only = false;
    // An absolute path to a directory of the tree.
    std::string working_directory = "/";
  };

  // kInvalidArgument: a limit out of its range; no such working directory.
  static absl::StatusOr<std::unique_ptr<FileSystem>> Create(Options options);

  // A clone: as Create followed by Restore(state). Of `options`, `tree` and
  // `working_directory` are not used: the state has its own.
  // kInvalidArgument: a limit out of its range; a state that was moved from.
  static absl::StatusOr<std::unique_ptr<FileSystem>> CreateFrom(
      const FileSystemState& state, Options options);

  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;
  ~FileSystem();

  // The present state, to which any number of FileSystems can be restored.
  // Cost: nothing if nothing changed since the last Save or Restore; else some
  // 50 ns for each private file, and the table of descriptors. No contents are
  // copied.
  [[nodiscard]] FileSystemState Save();

  // Goes back, or over, to `state`: one that was not moved from. Limits and
  // functions stay this object's; a state that exceeds the limits is restored,
  // and nothing may be added to it.
  // Cost: a few ns if nothing changed since that state was saved or restored;
  // else what frees the nodes and blocks that did, and a copy of the table of
  // descriptors.
  void Restore(const FileSystemState& state);

  // --- Opening and descriptors -------------------------------------------

  // openat(2); the lowest free descriptor.
  int64_t Open(int dirfd, absl::string_view path, int flags, uint32_t mode);
  int64_t Close(int fd);
  int64_t Dup(int fd);
  // dup2(2): equal descriptors are fine.
  int64_t Dup2(int from, int to);
  // dup3(2): `flags` is 0 or O_CLOEXEC; equal descriptors are -EINVAL.
  int64_t Dup3(int from, int to, int flags);
  // F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL,
  // F_GETPIPE_SZ. Locks (F_SETLK and F_SETLKW of both kinds) succeed, there
  // being no other process; the rest is -EINVAL.
  int64_t Fcntl(int fd, int command, uint64_t argument);
  // pipe2(2): `flags` of O_CLOEXEC, O_NONBLOCK, O_DIRECT. Sets both numbers,
  // the reading end's first, when the result is 0.
  int64_t Pipe(int flags, std::array<int, 2>& fds);
  // 1, -ENOTTY or -EBADF.
  [[nodiscard]] int64_t IsTerminal(int fd) const;
  // Whether it is one of the embedder's streams, or a copy.
  [[nodiscard]] bool IsStream(int fd) const;
  // What poll(2) puts into revents for `events`, at once; POLLNVAL for a bad
  // descriptor. Streams are always ready.
  [[nodiscard]] int64_t Poll(int fd, int events) const;

  // --- Contents ----------------------------------------------------------

  int64_t Read(int fd, std::span<std::byte> to);
  int64_t Write(int fd, std::span<const std::byte> from);
  // readv(2), writev(2). The caller bounds the number of buffers (IOV_MAX).
  int64_t ReadVector(int fd, std::span<const std::span<std::byte>> to);
  int64_t WriteVector(int fd, std::span<const std::span<const std::byte>> from);
  // pread64(2), pwrite64(2): the descriptor's offset stays.
  int64_t ReadAt(int fd, std::span<std::byte> to, int64_t offset);
  int64_t WriteAt(int fd, std::span<const std::byte> from, int64_t offset);
  // lseek(2), with SEEK_DATA and SEEK_HOLE as if no file had holes.
  int64_t Seek(int fd, int64_t offset, int whence);
  int64_t Truncate(absl::string_view path, int64_t size);
  int64_t TruncateOpen(int fd, int64_t size);
  // fsync(2), fdatasync(2).
  [[nodiscard]] int64_t Sync(int fd) const;

  // --- What files are ----------------------------------------------------

  // newfstatat(2): `flags` of AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH and
  // AT_NO_AUTOMOUNT. Sets `stat` when the result is 0.
  int64_t Stat(int dirfd, absl::string_view path, int flags,
               FileStat& stat) const;
  int64_t StatOpen(int fd, FileStat& stat) const;
  // getdents64(2): whole struct linux_dirent64 records. The d_off of a record
  // is what Seek goes to for the next; it stays right while names come and go.
  int64_t GetDents(int fd, std::span<std::byte> to);
  // readlinkat(2): up to to.size() bytes, without NUL.
  int64_t ReadLink(int dirfd, absl::string_view path,
                   std::span<std::byte> to) const;
  // faccessat2(2): `flags` of AT_EACCESS, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH.
  int64_t Access(int dirfd, absl::string_view path, int mode, int flags) const;
  // statfs(2): the same for every path and descriptor that is there.
  int64_t StatVolume(absl::string_view path, VolumeStat& stat) const;
  int64_t StatVolumeOpen(int fd, VolumeStat& stat) const;

  // --- Names -------------------------------------------------------------

  int64_t MakeDirectory(int dirfd, absl::string_view path, uint32_t mode);
  // unlinkat(2): `flags` is 0, or AT_REMOVEDIR for rmdir(2).
  int64_t Unlink(int dirfd, absl::string_view path, int flags);
  struct At {
    int dirfd;
    absl::string_view path;
  };
  // renameat2(2): `flags` is 0 or RENAME_NOREPLACE.
  int64_t Rename(At from, At to, unsigned flags);
  // linkat(2): `flags` of AT_SYMLINK_FOLLOW and AT_EMPTY_PATH.
  int64_t Link(At from, At to, int flags);
  int64_t Symlink(absl::string_view target, At link);

  // --- Attributes --------------------------------------------------------
  // Kept and shown, without effect on what may be done. `flags` of
  // AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH; an empty path with AT_EMPTY_PATH
  // means the descriptor, as in fchmod(2).

  int64_t ChangeMode(int dirfd, absl::string_view path, uint32_t mode,
                     int flags);
  // All ones leaves a user or group as it is.
  int64_t ChangeOwner(int dirfd, absl::string_view path, uint32_t user,
                      uint32_t group, int flags);
  // utimensat(2): access and modification time, with UTIME_NOW and UTIME_OMIT;
  // without a value both are now.
  int64_t ChangeTimes(int dirfd, absl::string_view path,
                      const std::optional<std::array<::timespec, 2>>& times,
                      int flags);

  // --- The process's place ------------------------------------------------

  // getcwd(2) as the system call: the path with its NUL; returns its size.
  // -ENOENT once the directory is removed.
  int64_t GetWorkingDirectory(std::span<std::byte> to) const;
  int64_t ChangeDirectory(absl::string_view path);
  int64_t ChangeDirectoryOpen(int fd);
  // Returns the old one.
  uint32_t SetUmask(uint32_t mask);

  // --- For the embedder --------------------------------------------------
  // Paths are absolute. Errors have the code of the errno (ErrnoStatus) and
  // name the path. Not for the way from a program's call.

  // A whole regular file. kOutOfRange when it is longer than `max_size`.
  absl::StatusOr<std::string> ReadFile(absl::string_view path,
                                       uint64_t max_size = uint64_t{1}
                                                           << 30) const;
  // Creates or replaces a regular file, within the limits. Its directory must
  // be there. After an error the file may be cut short.
  absl::Status WriteFile(absl::string_view path,
                         std::span<const std::byte> contents,
                         uint32_t mode = 0644);
  struct Listed {
    std::string name;
    FileStat stat;
  };
  // What a directory contains, by name, without "." and "..".
  absl::StatusOr<std::vector<Listed>> List(absl::string_view path) const;
  [[nodiscard]] FileUsage usage() const;

 private:
  FileSystem(std::shared_ptr<const internal::SavedFiles> base, Options options);

  static absl::Status CheckOptions(const Options& options);

  // --- Paths. Inodes are above 0; results below are negated errnos.
  // Where a relative path starts.
  int64_t StartOf(int dirfd, absl::string_view path) const;
  int64_t Walk(At at, internal::PathWalk::End end,
               internal::PathWalk& walk) const;
  // Walks to the place of a new name.
  int64_t WalkNew(At at, bool directory, internal::PathWalk& walk) const;
  // The inode of a file that must be there.
  int64_t Resolve(int dirfd, absl::string_view path, bool follow) const;
  // As Resolve; with AT_EMPTY_PATH the descriptor's inode, 0 for a stream.
  int64_t ResolveAt(int dirfd, absl::string_view path, int flags) const;
  // As ResolveAt; the node for changing, null for a stream.
  int64_t ResolveToChange(int dirfd, absl::string_view path, int flags,
                          internal::Node*& node);

  // --- Nodes and names
  // The node for changing; -ENOSPC when that passes a limit.
  int64_t Mutable(uint64_t inode, internal::Node*& node);
  // The directory for changing, with budget for `name` and `more` bytes.
  int64_t PrepareEntry(uint64_t directory, absl::string_view name,
                       uint64_t more, internal::Node*& node);
  int64_t AddEntry(internal::Node& directory, absl::string_view name,
                   uint64_t inode);
  void RemoveEntry(internal::Node& directory, absl::string_view name);
  // Puts a new node where the walk ended; its inode.
  int64_t LinkNew(const internal::PathWalk& walk, internal::Node node);
  // After a name of `node` was removed from `parent`.
  void DropName(uint64_t inode, internal::Node& node, internal::Node& parent);
  // Forgets a node without names unless something has it open.
  void DropIfUnused(uint64_t inode);
  // Whether the directory is `ancestor` or below it.
  bool IsWithin(uint64_t inode, uint64_t ancestor) const;
  int64_t CheckUnlink(const internal::PathWalk& walk) const;
  int64_t CheckRemoveDirectory(const internal::PathWalk& walk) const;
  int64_t CheckRename(const internal::PathWalk& from,
                      const internal::PathWalk& to, unsigned flags) const;
  int64_t EnterDirectory(uint64_t inode);

  // --- Descriptors
  // Whether a file that is there may be opened so.
  int64_t CheckOpen(uint64_t inode, int flags) const;
  int64_t Install(const internal::OpenFile& file, bool close_on_exec);
  int64_t DupFrom(int fd, int lowest, bool close_on_exec);
  void CloseOpen(int fd);
  FileStat StatOf(const internal::OpenFile& file) const;

  // --- Contents. Without `offset`, from the file's own and moving it.
  int64_t CheckPositioned(const internal::OpenFile* file, int64_t offset) const;
  int64_t ReadNode(internal::OpenFile& file, std::span<std::byte> to,
                   std::optional<int64_t> offset);
  int64_t WriteNode(internal::OpenFile& file, std::span<const std::byte> from,
                    std::optional<int64_t> offset);
  int64_t WriteContents(uint64_t inode, uint64_t offset,
                        std::span<const std::byte> from);
  int64_t TruncateNode(uint64_t inode, int64_t size);
  int64_t ReadPipe(uint64_t inode, std::span<std::byte> to);
  int64_t WritePipe(uint64_t inode, std::span<const std::byte> from);
  int64_t ReadDevice(DeviceKind kind, std::span<std::byte> to);
  int64_t ReadStream(std::span<std::byte> to);
  int64_t WriteStream(internal::OpenFile::Stream stream,
                      std::span<const std::byte> from);

  VolumeStat Volume() const;
  absl::Time Now();

  Options options_;
  internal::NodeTable nodes_;
  internal::DescriptorTable descriptors_;
  uint64_t working_directory_;
  uint32_t umask_;
  // WriteFile is under way, which read_only does not hinder.
  bool embedder_writes_ = false;
  // Something other than nodes_ differs from base_.
  bool changed_ = false;
  std::shared_ptr<const internal::SavedFiles> base_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_FILES_FILE_SYSTEM_H_
