// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/fuse_server.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <optional>
#include <type_traits>

#include "absl/strings/string_view.h"
#include "libvmm/devices/virtio/fs/file_name.h"
#include "libvmm/devices/virtio/fs/fuse_protocol.h"
#include "libvmm/devices/virtio/fs/fuse_request.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"
#include "libvmm/memory/file_transfer.h"

namespace libvmm {

using namespace fuse;         // NOLINT: the protocol's names.
using namespace fuse_server;  // NOLINT: its limits.

namespace {

// What Linux gets of what it offers. Without kInitDontMask it applies the
// caller's umask itself; without the lock flags it keeps locks to itself.
constexpr uint32_t kFeatures =
    kInitAsyncRead | kInitAtomicTruncate | kInitBigWrites |
    kInitAutoInvalidate | kInitReadDirectoryPlus | kInitReadDirectoryPlusAuto |
    kInitAsyncDirect | kInitParallelDirectories | kInitMaxPages;
// Pages of a request where the guest cannot be told (FUSE before 7.28).
constexpr uint32_t kDefaultPages = 32;
// Requests that the guest keeps going by itself: reading ahead and the like.
constexpr uint16_t kMaxBackground = 64;
constexpr uint16_t kCongestion = kMaxBackground / 4 * 3;

constexpr uint32_t kNanosecondsPerSecond = 1'000'000'000;
constexpr int64_t kSecondsPerYear = 366 * 24 * 60 * 60;
constexpr uint32_t kPermissions = 07777;

template <typename T>
std::span<const std::byte> BytesOf(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_bytes(std::span(&value, 1));
}

using Parts = std::array<iovec, DescriptorChain::kMaxSegments>;

size_t Aligned(size_t size) {
  return (size + kEntryAlignment - 1) / kEntryAlignment * kEntryAlignment;
}

bool TimeIsGood(uint32_t nanoseconds) {
  return nanoseconds < kNanosecondsPerSecond;
}

}  // namespace

// One message and its reply.
class FuseServer::Call {
 public:
  Call(FuseServer& server, std::span<const ChainSegment> message,
       std::span<const ChainSegment> room, GuestMemory& memory)
      : server_(server),
        tree_(server.tree_),
        room_(room),
        memory_(memory),
        request_(message),
        writer_(room, memory) {}

  Result Run();

 private:
  [[nodiscard]] uint64_t node() const { return request_.header().node; }
  [[nodiscard]] Opcode opcode() const {
    return static_cast<Opcode>(request_.header().opcode);
  }

  // Replies.
  [[nodiscard]] bool HasRoom(size_t payload) const {
    return writer_.remaining() >= sizeof(OutHeader) + payload;
  }
  // The header at the front, for a reply of `payload` bytes.
  Result Finish(int error, uint32_t payload);
  Result Error(int error) { return Finish(error, 0); }
  template <typename... T>
  Result Reply(const T&... payload);
  Result ReplyEntry(int error, const FileTree::Entry& entry);
  Result ReplyAttributes(int error, const Attributes& attributes);
  [[nodiscard]] EntryOut MakeEntry(const FileTree::Entry& entry) const;

  // Calls `visit` for the pieces of the reply's room where `size` bytes of
  // payload go, as far as there is room.
  template <typename Visit>
  void ForEachPayloadPiece(uint64_t size, Visit visit) const;

  // The message's structure, and whether the reply's payload has room.
  template <typename In>
  [[nodiscard]] bool Begin(In& in, size_t payload) {
    return request_.Read(in) && HasRoom(payload);
  }
  // The message's last text, the name of a file in this node. Zero or an errno.
  int ReadPlace(FileTree::Place& place);
  [[nodiscard]] FileTree::NewFile MakeNewFile(uint32_t mode,
                                              uint32_t umask) const {
    return {.mode = mode & ~umask,
            .uid = request_.header().uid,
            .gid = request_.header().gid};
  }

  void Forget();
  void BatchForget();
  Result Init();
  Result Dispatch();
  Result Lookup();
  Result DoGetAttributes();
  Result DoSetAttributes();
  Result ReadLink();
  Result Symlink();
  Result DoMakeNode();
  Result DoMakeDirectory();
  Result Link();
  Result Remove();
  Result Rename(bool with_flags);
  Result Access();
  Result Open(bool directory);
  Result Create();
  Result Read();
  Result Write();
  Result Release();
  Result Sync();
  Result Allocate();
  Result Seek();
  Result Copy();
  Result ReadDirectory(bool plus);
  Result StatFileSystem();

  FuseServer& server_;
  FileTree& tree_;
  std::span<const ChainSegment> room_;
  GuestMemory& memory_;
  FuseRequest request_;
  ChainWriter writer_;
};

FuseServer::FuseServer(FileTree& tree, const Options& options) : tree_(tree) {
  const absl::Duration cache_for = std::clamp(
      options.cache_for, absl::ZeroDuration(), absl::Seconds(kSecondsPerYear));
  cache_seconds_ = static_cast<uint64_t>(absl::ToInt64Seconds(cache_for));
  cache_nanoseconds_ = static_cast<uint32_t>(
      absl::ToInt64Nanoseconds(cache_for) % kNanosecondsPerSecond);
}

FuseServer::Result FuseServer::Serve(std::span<const ChainSegment> message,
                                     std::span<const ChainSegment> room,
                                     GuestMemory& memory) {
  return Call(*this, message, room, memory).Run();
}

void FuseServer::EndSession() {
  started_.store(false, std::memory_order_relaxed);
  tree_.Clear();
}

FuseServer::Result FuseServer::Call::Run() {
  constexpr Result kMalformedMessage = {.outcome = Outcome::kMalformed};
  constexpr Result kNone = {.outcome = Outcome::kNoReply};
  if (!request_.valid()) return kMalformedMessage;
  const bool started = server_.started_.load(std::memory_order_relaxed);
  switch (opcode()) {
    case Opcode::kForget:
      if (started) Forget();
      return kNone;
    case Opcode::kBatchForget:
      if (started) BatchForget();
      return kNone;
    case Opcode::kInterrupt:
      // Requests are answered before the next message is looked at, or at the
      // same time by another thread: too late in any case.
      return kNone;
    default:
      break;
  }
  if (!HasRoom(0)) return kMalformedMessage;
  if (opcode() == Opcode::kInit) return Init();
  if (!started) return Error(EIO);
  return Dispatch();
}

FuseServer::Result FuseServer::Call::Dispatch() {
  switch (opcode()) {
    case Opcode::kLookup:
      return Lookup();
    case Opcode::kGetAttributes:
      return DoGetAttributes();
    case Opcode::kSetAttributes:
      return DoSetAttributes();
    case Opcode::kReadLink:
      return ReadLink();
    case Opcode::kSymlink:
      return Symlink();
    case Opcode::kMakeNode:
      return DoMakeNode();
    case Opcode::kMakeDirectory:
      return DoMakeDirectory();
    case Opcode::kLink:
      return Link();
    case Opcode::kUnlink:
    case Opcode::kRemoveDirectory:
      return Remove();
    case Opcode::kRename:
      return Rename(false);
    case Opcode::kRename2:
      return Rename(true);
    case Opcode::kAccess:
      return Access();
    case Opcode::kOpen:
      return Open(false);
    case Opcode::kOpenDirectory:
      return Open(true);
    case Opcode::kCreate:
      return Create();
    case Opcode::kRead:
      return Read();
    case Opcode::kWrite:
      return Write();
    case Opcode::kRelease:
    case Opcode::kReleaseDirectory:
      return Release();
    case Opcode::kFlush:
      // What was written is the host's already.
      return Error(0);
    case Opcode::kSync:
    case Opcode::kSyncDirectory:
      return Sync();
    case Opcode::kAllocate:
      return Allocate();
    case Opcode::kSeek:
      return Seek();
    case Opcode::kCopyFileRange:
      return Copy();
    case Opcode::kReadDirectory:
      return ReadDirectory(false);
    case Opcode::kReadDirectoryPlus:
      return ReadDirectory(true);
    case Opcode::kStatFileSystem:
      return StatFileSystem();
    case Opcode::kSyncFileSystem:
      return Error(tree_.SyncFileSystem());
    case Opcode::kDestroy:
      server_.EndSession();
      return Error(0);
    case Opcode::kIoctl:
      return Error(ENOTTY);
    default:
      // Linux then does without: no extended attributes, locks among the
      // guest's own processes, and so on.
      return Error(ENOSYS);
  }
}

// ---- Replies ----------------------------------------------------------------

FuseServer::Result FuseServer::Call::Finish(int error, uint32_t payload) {
  const OutHeader header = {
      .length = static_cast<uint32_t>(sizeof header) + payload,
      .error = -error,
      .unique = request_.header().unique};
  ChainWriter front(room_, memory_);
  if (!front.Write(BytesOf(header))) return {.outcome = Outcome::kMalformed};
  return {.outcome = Outcome::kReplied, .written = header.length};
}

template <typename... T>
FuseServer::Result FuseServer::Call::Reply(const T&... payload) {
  writer_.Skip(sizeof(OutHeader));
  if (!(writer_.Write(BytesOf(payload)) && ...)) return Error(EINVAL);
  return Finish(0, (static_cast<uint32_t>(sizeof payload) + ...));
}

template <typename Visit>
void FuseServer::Call::ForEachPayloadPiece(uint64_t size, Visit visit) const {
  uint64_t skip = sizeof(OutHeader);
  for (const ChainSegment& segment : room_) {
    const uint64_t skipped = std::min(skip, segment.size);
    const uint64_t here = std::min(segment.size - skipped, size);
    skip -= skipped;
    size -= here;
    if (here == 0) continue;
    visit(ChainSegment{.data = segment.data + skipped,
                       .size = here,
                       .gpa = segment.gpa + skipped});
  }
}

EntryOut FuseServer::Call::MakeEntry(const FileTree::Entry& entry) const {
  return {.node = entry.node,
          .generation = 0,
          .entry_valid = server_.cache_seconds_,
          .attributes_valid = server_.cache_seconds_,
          .entry_valid_nanoseconds = server_.cache_nanoseconds_,
          .attributes_valid_nanoseconds = server_.cache_nanoseconds_,
          .attributes = entry.attributes};
}

FuseServer::Result FuseServer::Call::ReplyEntry(int error,
                                                const FileTree::Entry& entry) {
  return error != 0 ? Error(error) : Reply(MakeEntry(entry));
}

FuseServer::Result FuseServer::Call::ReplyAttributes(
    int error, const Attributes& attributes) {
  if (error != 0) return Error(error);
  return Reply(AttributesOut{.valid = server_.cache_seconds_,
                             .valid_nanoseconds = server_.cache_nanoseconds_,
                             .padding = 0,
                             .attributes = attributes});
}

// ---- Session ----------------------------------------------------------------

FuseServer::Result FuseServer::Call::Init() {
  InitIn in;
  InitOut out;
  if (!Begin(in, sizeof out)) return Error(EINVAL);
  out.major = kMajor;
  out.minor = kMinor;
  // A newer guest asks again with the version that it is told.
  if (in.major > kMajor) return Reply(out);
  if (in.major < kMajor || in.minor < kOldestMinor) return Error(EPROTO);
  server_.EndSession();
  out.flags = in.flags & kFeatures;
  out.max_readahead = std::min(in.max_readahead, kMaxTransfer);
  out.max_background = kMaxBackground;
  out.congestion_threshold = kCongestion;
  out.time_granularity = 1;
  const uint32_t pages =
      (out.flags & kInitMaxPages) != 0 ? kMaxPages : kDefaultPages;
  out.max_write = pages * kPageSize;
  out.max_pages = static_cast<uint16_t>(pages);
  server_.started_.store(true, std::memory_order_relaxed);
  return Reply(out);
}

void FuseServer::Call::Forget() {
  ForgetIn in;
  if (request_.Read(in)) tree_.Forget(node(), in.lookups);
}

void FuseServer::Call::BatchForget() {
  BatchForgetIn in;
  if (!request_.Read(in)) return;
  // A count beyond the message ends with it.
  const uint32_t count = std::min(in.count, kMaxForgets);
  for (uint32_t i = 0; i < count; ++i) {
    ForgetOne one;
    if (!request_.Read(one)) return;
    tree_.Forget(one.node, one.lookups);
  }
}

// ---- Nodes ------------------------------------------------------------------

int FuseServer::Call::ReadPlace(FileTree::Place& place) {
  place.parent = node();
  if (!request_.ReadTexts(std::span(&place.name, 1))) return EINVAL;
  return CheckFileName(place.name);
}

FuseServer::Result FuseServer::Call::Lookup() {
  if (!HasRoom(sizeof(EntryOut))) return Error(EINVAL);
  FileTree::Place place;
  if (const int error = ReadPlace(place)) return Error(error);
  FileTree::Entry entry;
  const int error = tree_.Lookup(place, entry);
  return ReplyEntry(error, entry);
}

FuseServer::Result FuseServer::Call::DoGetAttributes() {
  GetAttributesIn in;
  if (!Begin(in, sizeof(AttributesOut))) return Error(EINVAL);
  std::optional<FileTree::Handle> handle;
  if ((in.flags & kGetAttributesByHandle) != 0) handle = in.handle;
  Attributes attributes;
  const int error = tree_.GetAttributes(node(), handle, attributes);
  return ReplyAttributes(error, attributes);
}

FuseServer::Result FuseServer::Call::DoSetAttributes() {
  SetAttributesIn in;
  if (!Begin(in, sizeof(AttributesOut))) return Error(EINVAL);
  const auto has = [&in](uint32_t bits) { return (in.valid & bits) != 0; };
  FileTree::Changes changes;
  if (has(kSetMode)) changes.mode = in.mode;
  if (has(kSetUid)) changes.uid = in.uid;
  if (has(kSetGid)) changes.gid = in.gid;
  if (has(kSetSize)) changes.size = in.size;
  if (has(kSetByHandle)) changes.handle = in.handle;
  if (has(kSetAccessTime | kSetAccessTimeNow)) {
    changes.access_time = {.now = has(kSetAccessTimeNow),
                           .seconds = static_cast<int64_t>(in.access_time),
                           .nanoseconds = in.access_nanoseconds};
    if (!TimeIsGood(in.access_nanoseconds)) return Error(EINVAL);
  }
  if (has(kSetModifyTime | kSetModifyTimeNow)) {
    changes.modify_time = {.now = has(kSetModifyTimeNow),
                           .seconds = static_cast<int64_t>(in.modify_time),
                           .nanoseconds = in.modify_nanoseconds};
    if (!TimeIsGood(in.modify_nanoseconds)) return Error(EINVAL);
  }
  Attributes attributes;
  const int error = tree_.SetAttributes(node(), changes, attributes);
  return ReplyAttributes(error, attributes);
}

FuseServer::Result FuseServer::Call::ReadLink() {
  std::array<char, kMaxLinkText> text;
  size_t size = 0;
  if (const int error = tree_.ReadLink(node(), text, size)) {
    return Error(error);
  }
  size = std::min(size, text.size());
  writer_.Skip(sizeof(OutHeader));
  if (!writer_.Write(std::as_bytes(std::span(text).first(size)))) {
    return Error(EINVAL);
  }
  return Finish(0, static_cast<uint32_t>(size));
}

FuseServer::Result FuseServer::Call::Symlink() {
  if (!HasRoom(sizeof(EntryOut))) return Error(EINVAL);
  std::array<absl::string_view, 2> texts;
  if (!request_.ReadTexts(texts)) return Error(EINVAL);
  const auto& [name, text] = texts;
  if (const int error = CheckFileName(name)) return Error(error);
  if (text.size() > kMaxLinkText) return Error(ENAMETOOLONG);
  constexpr uint32_t kAll = 0777;
  FileTree::Entry entry;
  const int error = tree_.Symlink({.parent = node(), .name = name}, text,
                                  MakeNewFile(kAll, 0), entry);
  return ReplyEntry(error, entry);
}

FuseServer::Result FuseServer::Call::DoMakeNode() {
  MakeNodeIn in;
  if (!Begin(in, sizeof(EntryOut))) return Error(EINVAL);
  FileTree::Place place;
  if (const int error = ReadPlace(place)) return Error(error);
  FileTree::Entry entry;
  const int error = tree_.MakeNode(
      place, MakeNewFile(in.mode, in.umask & kPermissions), entry);
  return ReplyEntry(error, entry);
}

FuseServer::Result FuseServer::Call::DoMakeDirectory() {
  MakeDirectoryIn in;
  if (!Begin(in, sizeof(EntryOut))) return Error(EINVAL);
  FileTree::Place place;
  if (const int error = ReadPlace(place)) return Error(error);
  FileTree::Entry entry;
  const int error = tree_.MakeDirectory(
      place, MakeNewFile(in.mode & kPermissions, in.umask), entry);
  return ReplyEntry(error, entry);
}

FuseServer::Result FuseServer::Call::Link() {
  LinkIn in;
  if (!Begin(in, sizeof(EntryOut))) return Error(EINVAL);
  FileTree::Place place;
  if (const int error = ReadPlace(place)) return Error(error);
  FileTree::Entry entry;
  const int error = tree_.Link(in.old_node, place, entry);
  return ReplyEntry(error, entry);
}

FuseServer::Result FuseServer::Call::Remove() {
  FileTree::Place place;
  if (const int error = ReadPlace(place)) return Error(error);
  return Error(opcode() == Opcode::kUnlink ? tree_.Unlink(place)
                                           : tree_.RemoveDirectory(place));
}

FuseServer::Result FuseServer::Call::Rename(bool with_flags) {
  Rename2In in;
  RenameIn plain;
  if (with_flags ? !request_.Read(in) : !request_.Read(plain)) {
    return Error(EINVAL);
  }
  if (!with_flags) in.new_parent = plain.new_parent;
  std::array<absl::string_view, 2> names;
  if (!request_.ReadTexts(names)) return Error(EINVAL);
  for (const absl::string_view name : names) {
    if (const int error = CheckFileName(name)) return Error(error);
  }
  return Error(tree_.Rename({.parent = node(), .name = names[0]},
                            {.parent = in.new_parent, .name = names[1]},
                            in.flags));
}

FuseServer::Result FuseServer::Call::Access() {
  AccessIn in;
  if (!request_.Read(in)) return Error(EINVAL);
  return Error(tree_.Access(node(), in.mask));
}

// ---- Open files -------------------------------------------------------------

FuseServer::Result FuseServer::Call::Open(bool directory) {
  OpenIn in;
  OpenOut out;
  if (!Begin(in, sizeof out)) return Error(EINVAL);
  const int error = directory ? tree_.OpenDirectory(node(), out.handle)
                              : tree_.Open(node(), in.flags, out.handle);
  return error != 0 ? Error(error) : Reply(out);
}

FuseServer::Result FuseServer::Call::Create() {
  CreateIn in;
  OpenOut out;
  if (!Begin(in, sizeof(EntryOut) + sizeof out)) return Error(EINVAL);
  FileTree::Place place;
  if (const int error = ReadPlace(place)) return Error(error);
  FileTree::Entry entry;
  const int error =
      tree_.Create(place, MakeNewFile(in.mode & kPermissions, in.umask),
                   in.flags, entry, out.handle);
  return error != 0 ? Error(error) : Reply(MakeEntry(entry), out);
}

FuseServer::Result FuseServer::Call::Read() {
  ReadIn in;
  if (!request_.Read(in)) return Error(EINVAL);
  const uint64_t wanted = std::min(in.size, kMaxTransfer);
  Parts parts;
  size_t count = 0;
  ForEachPayloadPiece(wanted, [&](const ChainSegment& piece) {
    if (count == parts.size()) return;
    parts[count++] = {.iov_base = piece.data, .iov_len = piece.size};
  });
  const FileTransfer read =
      tree_.Read(in.handle, in.offset, std::span(parts).first(count));
  // A failed call may have filled a part that it does not own up to.
  ForEachPayloadPiece(read.ok() ? read.bytes : wanted,
                      [this](const ChainSegment& piece) {
                        memory_.MarkDirty({piece.gpa, piece.size});
                      });
  if (!read.ok()) return Error(read.error);
  return Finish(0, static_cast<uint32_t>(read.bytes));
}

FuseServer::Result FuseServer::Call::Write() {
  WriteIn in;
  WriteOut out;
  if (!Begin(in, sizeof out)) return Error(EINVAL);
  if (in.size > kMaxTransfer || in.size > request_.remaining()) {
    return Error(EINVAL);
  }
  Parts parts;
  size_t count = 0;
  for (uint64_t left = in.size; left > 0;) {
    if (count == parts.size()) return Error(EINVAL);
    const std::span<const std::byte> piece = request_.Next(left);
    // writev(2) has no const, and reads all the same.
    parts[count++] = {.iov_base = const_cast<std::byte*>(piece.data()),
                      .iov_len = piece.size()};
    left -= piece.size();
  }
  const FileTransfer written =
      tree_.Write(in.handle, in.offset, std::span(parts).first(count));
  if (!written.ok()) return Error(written.error);
  out.size = static_cast<uint32_t>(written.bytes);
  return Reply(out);
}

FuseServer::Result FuseServer::Call::Release() {
  ReleaseIn in;
  if (!request_.Read(in)) return Error(EINVAL);
  if (opcode() == Opcode::kRelease) {
    tree_.Release(in.handle);
  } else {
    tree_.ReleaseDirectory(in.handle);
  }
  return Error(0);
}

FuseServer::Result FuseServer::Call::Sync() {
  SyncIn in;
  if (!request_.Read(in)) return Error(EINVAL);
  const bool data_only = (in.flags & kSyncDataOnly) != 0;
  return Error(opcode() == Opcode::kSync
                   ? tree_.Sync(in.handle, data_only)
                   : tree_.SyncDirectory(in.handle, data_only));
}

FuseServer::Result FuseServer::Call::Allocate() {
  AllocateIn in;
  if (!request_.Read(in)) return Error(EINVAL);
  return Error(tree_.Allocate(in.handle, in.offset, in.length, in.mode));
}

FuseServer::Result FuseServer::Call::Seek() {
  SeekIn in;
  SeekOut out;
  if (!Begin(in, sizeof out)) return Error(EINVAL);
  const int error = tree_.Seek(in.handle, in.offset, in.whence, out.offset);
  return error != 0 ? Error(error) : Reply(out);
}

FuseServer::Result FuseServer::Call::Copy() {
  CopyFileRangeIn in;
  WriteOut out;
  if (!Begin(in, sizeof out) || in.flags != 0) return Error(EINVAL);
  // As much as the reply can count.
  constexpr uint64_t kMaxCopy = std::numeric_limits<uint32_t>::max();
  const FileTransfer copied =
      tree_.Copy({.handle = in.from_handle, .offset = in.from_offset},
                 {.handle = in.to_handle, .offset = in.to_offset},
                 std::min(in.length, kMaxCopy));
  if (!copied.ok()) return Error(copied.error);
  out.size = static_cast<uint32_t>(copied.bytes);
  return Reply(out);
}

// ---- Directories ------------------------------------------------------------

FuseServer::Result FuseServer::Call::ReadDirectory(bool plus) {
  ReadIn in;
  if (!request_.Read(in)) return Error(EINVAL);
  writer_.Skip(sizeof(OutHeader));
  const uint64_t room =
      std::min<uint64_t>(std::min(in.size, kMaxTransfer), writer_.remaining());
  uint32_t used = 0;
  const auto add = [&](const FileTree::DirectoryEntry& entry) {
    constexpr std::array<std::byte, kEntryAlignment> kPadding = {};
    const int bad = CheckFileName(entry.name);
    const size_t fixed =
        sizeof(fuse::DirectoryEntry) + (plus ? sizeof(EntryOut) : 0);
    const size_t size = Aligned(fixed + entry.name.size());
    if (bad == ENAMETOOLONG) return true;
    if (size > room - used) return false;
    if (plus) {
      // One that cannot be looked up now has a name at least.
      FileTree::Entry found;
      EntryOut out;
      if (bad == 0 &&
          tree_.Lookup({.parent = node(), .name = entry.name}, found) == 0) {
        out = MakeEntry(found);
      }
      writer_.WriteSome(BytesOf(out));
    }
    writer_.WriteSome(BytesOf(fuse::DirectoryEntry{
        .inode = entry.inode,
        .next_offset = entry.next_offset,
        .name_size = static_cast<uint32_t>(entry.name.size()),
        .type = entry.type}));
    writer_.WriteSome(
        std::as_bytes(std::span(entry.name.data(), entry.name.size())));
    writer_.WriteSome(
        std::span(kPadding).first(size - fixed - entry.name.size()));
    used += static_cast<uint32_t>(size);
    return true;
  };
  const int error = tree_.ReadDirectory(in.handle, in.offset, add);
  if (error != 0 && used == 0) return Error(error);
  return Finish(0, used);
}

FuseServer::Result FuseServer::Call::StatFileSystem() {
  FileSystemOut out;
  if (!HasRoom(sizeof out)) return Error(EINVAL);
  const int error = tree_.StatFileSystem(node(), out);
  return error != 0 ? Error(error) : Reply(out);
}

}  // namespace libvmm
