// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/fuse_server.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/fs/file_tree.h"
#include "libvmm/devices/virtio/fs/fuse_protocol.h"
#include "libvmm/devices/virtio/fs/fuse_test_client.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/memory/dirty_bitmap.h"
#include "libvmm/memory/file_transfer.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::fuse::kRootNode;
using ::libvmm::fuse::Opcode;
using ::libvmm::fuse_server::kMaxForgets;
using ::libvmm::fuse_server::kMaxTransfer;
using ::libvmm::testing::Bytes;
using ::libvmm::testing::FuseTestClient;
using ::libvmm::testing::Joined;
using ::libvmm::testing::Name;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Reply = FuseTestClient::Reply;

// Writes down what it is asked, and answers from what a test put in.
class RecordingTree final : public FileTree {
 public:
  std::vector<std::string> calls;
  int error = 0;
  FileTree::Entry entry = {.node = 77,
                           .attributes = {.inode = 5, .mode = 0100644}};
  // The contents of every file, and the names in every directory.
  std::string contents;
  std::vector<std::string> names;
  // Bytes that Write takes at most.
  uint64_t write_limit = ~uint64_t{0};
  std::string written;

  int Lookup(const Place& place, Entry& out) override {
    return Answer(out, "Lookup ", At(place));
  }
  void Forget(Node node, uint64_t lookups) override {
    calls.push_back(absl::StrCat("Forget ", node, " ", lookups));
  }
  int GetAttributes(Node node, std::optional<Handle> handle,
                    fuse::Attributes& out) override {
    out = entry.attributes;
    return Answer("GetAttributes ", node, " ", Show(handle));
  }
  int SetAttributes(Node node, const Changes& changes,
                    fuse::Attributes& out) override {
    out = entry.attributes;
    return Answer("SetAttributes ", node, " mode ", Show(changes.mode), " uid ",
                  Show(changes.uid), " gid ", Show(changes.gid), " size ",
                  Show(changes.size), " atime ", Show(changes.access_time),
                  " mtime ", Show(changes.modify_time), " handle ",
                  Show(changes.handle));
  }
  int ReadLink(Node node, std::span<char> to, size_t& size) override {
    size = contents.copy(to.data(), to.size());
    return Answer("ReadLink ", node);
  }
  int Access(Node node, uint32_t mask) override {
    return Answer("Access ", node, " ", mask);
  }
  int Symlink(const Place& place, absl::string_view text, const NewFile& file,
              Entry& out) override {
    return Answer(out, "Symlink ", At(place), " ", text, " ", Show(file));
  }
  int MakeNode(const Place& place, const NewFile& file, Entry& out) override {
    return Answer(out, "MakeNode ", At(place), " ", Show(file));
  }
  int MakeDirectory(const Place& place, const NewFile& file,
                    Entry& out) override {
    return Answer(out, "MakeDirectory ", At(place), " ", Show(file));
  }
  int Link(Node node, const Place& place, Entry& out) override {
    return Answer(out, "Link ", node, " ", At(place));
  }
  int Unlink(const Place& place) override {
    return Answer("Unlink ", At(place));
  }
  int RemoveDirectory(const Place& place) override {
    return Answer("RemoveDirectory ", At(place));
  }
  int Rename(const Place& from, const Place& to, uint32_t flags) override {
    return Answer("Rename ", At(from), " ", At(to), " ", flags);
  }
  int Open(Node node, uint32_t flags, Handle& handle) override {
    handle = 88;
    return Answer("Open ", node, " ", flags);
  }
  int Create(const Place& place, const NewFile& file, uint32_t flags,
             Entry& out, Handle& handle) override {
    handle = 89;
    return Answer(out, "Create ", At(place), " ", Show(file), " ", flags);
  }
  void Release(Handle handle) override {
    calls.push_back(absl::StrCat("Release ", handle));
  }
  FileTransfer Read(Handle handle, uint64_t offset,
                    std::span<iovec> to) override {
    uint64_t room = 0;
    FileTransfer result;
    for (const iovec& part : to) {
      room += part.iov_len;
      if (offset + result.bytes >= contents.size()) continue;
      result.bytes += contents.copy(static_cast<char*>(part.iov_base),
                                    part.iov_len, offset + result.bytes);
    }
    result.error = Answer("Read ", handle, " ", offset, " ", room);
    return result;
  }
  FileTransfer Write(Handle handle, uint64_t offset,
                     std::span<iovec> from) override {
    written.clear();
    for (const iovec& part : from) {
      written.append(static_cast<char*>(part.iov_base), part.iov_len);
    }
    const int result = Answer("Write ", handle, " ", offset);
    return {.bytes = std::min<uint64_t>(write_limit, written.size()),
            .error = result};
  }
  int Sync(Handle handle, bool data_only) override {
    return Answer("Sync ", handle, " ", data_only);
  }
  int Allocate(Handle handle, uint64_t offset, uint64_t length,
               uint32_t mode) override {
    return Answer("Allocate ", handle, " ", offset, " ", length, " ", mode);
  }
  int Seek(Handle handle, uint64_t offset, uint32_t whence,
           uint64_t& found) override {
    found = 4321;
    return Answer("Seek ", handle, " ", offset, " ", whence);
  }
  FileTransfer Copy(const Range& from, const Range& to,
                    uint64_t length) override {
    const int result = Answer("Copy ", from.handle, " ", from.offset, " ",
                              to.handle, " ", to.offset, " ", length);
    return {.bytes = 5, .error = result};
  }
  int OpenDirectory(Node node, Handle& handle) override {
    handle = 90;
    return Answer("OpenDirectory ", node);
  }
  int ReadDirectory(
      Handle handle, uint64_t offset,
      absl::FunctionRef<bool(const DirectoryEntry&)> add) override {
    const int result = Answer("ReadDirectory ", handle, " ", offset);
    if (result != 0 && error_after_entries == 0) return result;
    for (size_t i = offset; i < names.size(); ++i) {
      if (!add({.name = names[i],
                .inode = 100 + i,
                .next_offset = i + 1,
                .type = 8})) {
        return 0;
      }
    }
    return error_after_entries;
  }
  int error_after_entries = 0;
  void ReleaseDirectory(Handle handle) override {
    calls.push_back(absl::StrCat("ReleaseDirectory ", handle));
  }
  int SyncDirectory(Handle handle, bool data_only) override {
    return Answer("SyncDirectory ", handle, " ", data_only);
  }
  int StatFileSystem(Node node, fuse::FileSystemOut& out) override {
    out.blocks = 123;
    return Answer("StatFileSystem ", node);
  }
  int SyncFileSystem() override { return Answer("SyncFileSystem"); }
  void Clear() override { calls.emplace_back("Clear"); }

 private:
  template <typename... T>
  int Answer(const char* what, const T&... parts) {
    calls.push_back(absl::StrCat(what, parts...));
    return error;
  }
  template <typename... T>
  int Answer(Entry& out, const char* what, const T&... parts) {
    out = entry;
    return Answer(what, parts...);
  }
  static std::string At(const Place& place) {
    return absl::StrCat(place.parent, "/", place.name);
  }
  static std::string Show(const NewFile& file) {
    return absl::StrCat(absl::Hex(file.mode), " by ", file.uid, ":", file.gid);
  }
  template <typename T>
  static std::string Show(const std::optional<T>& value) {
    return value.has_value() ? absl::StrCat(*value) : "-";
  }
  static std::string Show(const std::optional<NewTime>& time) {
    if (!time.has_value()) return "-";
    if (time->now) return "now";
    return absl::StrCat(time->seconds, ".", time->nanoseconds);
  }
};

// A server whose client cuts messages and replies into pieces of guest memory.
class FuseServerTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kMemorySize = uint64_t{8} << 20;
  static constexpr Gpa kRoomStart{uint64_t{4} << 20};

  FuseServerTest()
      : client([this](const Bytes& message, uint32_t room) {
          return Send(message, room);
        }) {}

  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                         MemoryRegion::Anonymous({.size = kMemorySize}));
    ASSERT_OK(memory->Add(Gpa(0), region));
  }

  void Start() {
    EXPECT_EQ(client.Init().error, 0);
    tree.calls.clear();
  }

  // `size` bytes at `start`, in pieces of piece_sizes by turns, with gaps.
  std::vector<ChainSegment> Pieces(Gpa start, uint64_t size) {
    std::vector<ChainSegment> segments;
    Gpa at = start;
    for (size_t i = 0; size > 0; ++i) {
      const uint64_t piece =
          std::min(size, piece_sizes[i % piece_sizes.size()]);
      segments.push_back({.data = memory->WritableSpan({at, piece}).data(),
                          .size = piece,
                          .gpa = at});
      at = at + piece + gap;
      size -= piece;
    }
    return segments;
  }

  std::optional<Bytes> Send(const Bytes& message, uint32_t room) {
    const std::vector<ChainSegment> from = Pieces(Gpa(0), message.size());
    size_t done = 0;
    for (const ChainSegment& segment : from) {
      std::memcpy(segment.data, message.data() + done, segment.size);
      done += segment.size;
    }
    const std::vector<ChainSegment> to = Pieces(kRoomStart, room);
    for (const ChainSegment& segment : to) {
      std::memset(segment.data, 0xee, segment.size);
    }
    last = server.Serve(from, to, *memory);
    Bytes bytes;
    for (const ChainSegment& segment : to) {
      bytes.insert(bytes.end(), segment.data, segment.data + segment.size);
    }
    EXPECT_LE(last.written, room);
    bytes.resize(last.written);
    if (last.outcome != FuseServer::Outcome::kReplied) {
      EXPECT_EQ(last.written, 0u);
      return std::nullopt;
    }
    return bytes;
  }

  RecordingTree tree;
  FuseServer server{tree, {.cache_for = absl::Milliseconds(2500)}};
  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
  std::vector<uint64_t> piece_sizes = {4096};
  uint64_t gap = 0;
  FuseServer::Result last;
  FuseTestClient client;
};

// ---- Session ----------------------------------------------------------------

TEST_F(FuseServerTest, InitAgreesOnWhatBothHave) {
  const Reply reply = client.Init();
  ASSERT_EQ(reply.error, 0);
  ASSERT_EQ(reply.payload.size(), sizeof(fuse::InitOut));
  const auto out = reply.As<fuse::InitOut>();
  EXPECT_EQ(out.major, 7u);
  EXPECT_EQ(out.minor, 38u);
  EXPECT_EQ(out.max_readahead, 131072u);
  EXPECT_EQ(out.max_write, 1u << 20);
  EXPECT_EQ(out.max_pages, 256u);
  EXPECT_EQ(out.time_granularity, 1u);
  EXPECT_EQ(out.map_alignment, 0u);
  EXPECT_EQ(out.flags2, 0u);
  // No locks, no caching of writes, no access control lists, no DAX, no
  // extended structures.
  EXPECT_EQ(out.flags, 0x0044f029u);
  EXPECT_THAT(tree.calls, ElementsAre("Clear"));
}

TEST_F(FuseServerTest, InitOffersNothingThatTheGuestLacks) {
  const Reply reply = client.Call(
      Opcode::kInit, 0,
      Joined(fuse::InitIn{.major = 7, .minor = 31, .max_readahead = 1 << 30}));
  ASSERT_EQ(reply.error, 0);
  const auto out = reply.As<fuse::InitOut>();
  EXPECT_EQ(out.flags, 0u);
  EXPECT_EQ(out.max_write, 131072u);
  EXPECT_EQ(out.max_readahead, kMaxTransfer);
}

TEST_F(FuseServerTest, VersionsThatCannotTalk) {
  const struct {
    uint32_t major;
    uint32_t minor;
    int error;
    bool started;
  } kTable[] = {{6, 99, EPROTO, false}, {7, 30, EPROTO, false},
                {7, 31, 0, true},       {7, 99, 0, true},
                {8, 0, 0, false},       {~0u, ~0u, 0, false}};
  for (const auto& row : kTable) {
    server.EndSession();
    const Reply reply = client.Call(
        Opcode::kInit, 0,
        Joined(fuse::InitIn{.major = row.major, .minor = row.minor}));
    EXPECT_EQ(reply.error, row.error) << row.major << '.' << row.minor;
    if (reply.error == 0) {
      EXPECT_EQ(reply.As<fuse::InitOut>().major, 7u);
    }
    EXPECT_EQ(client.Call(Opcode::kStatFileSystem, kRootNode).error,
              row.started ? 0 : EIO);
  }
}

TEST_F(FuseServerTest, NothingIsServedOutsideOfASession) {
  for (uint32_t opcode = 0; opcode < 60; ++opcode) {
    if (opcode == static_cast<uint32_t>(Opcode::kInit)) continue;
    const int error = client
                          .Call(static_cast<Opcode>(opcode), kRootNode,
                                Bytes(200, std::byte{'a'}))
                          .error;
    const bool silent = opcode == 2 || opcode == 36 || opcode == 42;
    EXPECT_EQ(error, silent ? -1 : EIO) << opcode;
  }
  EXPECT_THAT(tree.calls, IsEmpty());
}

TEST_F(FuseServerTest, DestroyEndsTheSession) {
  Start();
  EXPECT_EQ(client.Call(Opcode::kDestroy, 0).error, 0);
  EXPECT_THAT(tree.calls, ElementsAre("Clear"));
  EXPECT_EQ(client.Call(Opcode::kStatFileSystem, kRootNode).error, EIO);
  // And INIT begins a new one.
  Start();
  EXPECT_EQ(client.Call(Opcode::kStatFileSystem, kRootNode).error, 0);
}

// ---- Messages ---------------------------------------------------------------

TEST_F(FuseServerTest, EachMessageReachesTheTreeWithItsArguments) {
  const auto entry = sizeof(fuse::EntryOut);
  const auto attributes = sizeof(fuse::AttributesOut);
  const struct {
    Opcode opcode;
    Bytes body;
    const char* call;
    size_t payload;
  } kTable[] = {
      {Opcode::kLookup, Joined(Name("n")), "Lookup 9/n", entry},
      {Opcode::kGetAttributes, Joined(fuse::GetAttributesIn{}),
       "GetAttributes 9 -", attributes},
      {Opcode::kGetAttributes,
       Joined(fuse::GetAttributesIn{.flags = 1, .handle = 4}),
       "GetAttributes 9 4", attributes},
      {Opcode::kSetAttributes, Joined(fuse::SetAttributesIn{.mode = 1}),
       "SetAttributes 9 mode - uid - gid - size - atime - mtime - handle -",
       attributes},
      {Opcode::kSetAttributes,
       Joined(fuse::SetAttributesIn{.valid = 0x7f,
                                    .handle = 1,
                                    .size = 2,
                                    .access_time = 3,
                                    .modify_time = ~uint64_t{3},
                                    .access_nanoseconds = 999'999'999,
                                    .modify_nanoseconds = 6,
                                    .mode = 0777,
                                    .uid = 8,
                                    .gid = 9}),
       "SetAttributes 9 mode 511 uid 8 gid 9 size 2 atime 3.999999999 mtime "
       "-4.6 handle 1",
       attributes},
      {Opcode::kSetAttributes, Joined(fuse::SetAttributesIn{.valid = 0x1b0}),
       "SetAttributes 9 mode - uid - gid - size - atime now mtime now handle -",
       attributes},
      {Opcode::kReadLink, {}, "ReadLink 9", 0},
      {Opcode::kSymlink, Joined(Name("n"), Name("../to")),
       "Symlink 9/n ../to 1ff by 1000:1001", entry},
      {Opcode::kMakeNode,
       Joined(fuse::MakeNodeIn{.mode = 0100777, .umask = 027}, Name("n")),
       "MakeNode 9/n 81e8 by 1000:1001", entry},
      // A mask of all bits leaves the type alone.
      {Opcode::kMakeNode,
       Joined(fuse::MakeNodeIn{.mode = 0100777, .umask = ~0u}, Name("n")),
       "MakeNode 9/n 8000 by 1000:1001", entry},
      {Opcode::kMakeDirectory,
       Joined(fuse::MakeDirectoryIn{.mode = 01777, .umask = 022}, Name("n")),
       "MakeDirectory 9/n 3ed by 1000:1001", entry},
      {Opcode::kLink, Joined(fuse::LinkIn{.old_node = 5}, Name("n")),
       "Link 5 9/n", entry},
      {Opcode::kUnlink, Joined(Name("n")), "Unlink 9/n", 0},
      {Opcode::kRemoveDirectory, Joined(Name("n")), "RemoveDirectory 9/n", 0},
      {Opcode::kRename,
       Joined(fuse::RenameIn{.new_parent = 5}, Name("n"), Name("m")),
       "Rename 9/n 5/m 0", 0},
      {Opcode::kRename2,
       Joined(fuse::Rename2In{.new_parent = 5, .flags = 3}, Name("n"),
              Name("m")),
       "Rename 9/n 5/m 3", 0},
      {Opcode::kAccess, Joined(fuse::AccessIn{.mask = 6}), "Access 9 6", 0},
      {Opcode::kOpen, Joined(fuse::OpenIn{.flags = 0x8002}), "Open 9 32770",
       sizeof(fuse::OpenOut)},
      {Opcode::kOpenDirectory, Joined(fuse::OpenIn{}), "OpenDirectory 9",
       sizeof(fuse::OpenOut)},
      {Opcode::kCreate,
       Joined(fuse::CreateIn{.flags = 0x42, .mode = 0100666, .umask = 022},
              Name("n")),
       "Create 9/n 1a4 by 1000:1001 66", entry + sizeof(fuse::OpenOut)},
      {Opcode::kRead, Joined(fuse::ReadIn{.handle = 3, .offset = 5, .size = 7}),
       "Read 3 5 7", 0},
      {Opcode::kWrite,
       Joined(fuse::WriteIn{.handle = 3, .offset = 5, .size = 4},
              std::string("text")),
       "Write 3 5", sizeof(fuse::WriteOut)},
      {Opcode::kRelease, Joined(fuse::ReleaseIn{.handle = 3}), "Release 3", 0},
      {Opcode::kReleaseDirectory, Joined(fuse::ReleaseIn{.handle = 3}),
       "ReleaseDirectory 3", 0},
      {Opcode::kSync, Joined(fuse::SyncIn{.handle = 3}), "Sync 3 0", 0},
      {Opcode::kSync, Joined(fuse::SyncIn{.handle = 3, .flags = 1}), "Sync 3 1",
       0},
      {Opcode::kSyncDirectory, Joined(fuse::SyncIn{.handle = 3}),
       "SyncDirectory 3 0", 0},
      {Opcode::kAllocate,
       Joined(
           fuse::AllocateIn{.handle = 3, .offset = 1, .length = 2, .mode = 4}),
       "Allocate 3 1 2 4", 0},
      {Opcode::kSeek,
       Joined(fuse::SeekIn{.handle = 3, .offset = 1, .whence = 4}),
       "Seek 3 1 4", sizeof(fuse::SeekOut)},
      {Opcode::kCopyFileRange,
       Joined(fuse::CopyFileRangeIn{.from_handle = 1,
                                    .from_offset = 2,
                                    .to_node = 3,
                                    .to_handle = 4,
                                    .to_offset = 5,
                                    .length = ~uint64_t{0}}),
       "Copy 1 2 4 5 4294967295", sizeof(fuse::WriteOut)},
      {Opcode::kReadDirectory,
       Joined(fuse::ReadIn{.handle = 3, .offset = 5, .size = 100}),
       "ReadDirectory 3 5", 0},
      {Opcode::kReadDirectoryPlus,
       Joined(fuse::ReadIn{.handle = 3, .offset = 5, .size = 100}),
       "ReadDirectory 3 5", 0},
      {Opcode::kStatFileSystem,
       {},
       "StatFileSystem 9",
       sizeof(fuse::FileSystemOut)},
      {Opcode::kSyncFileSystem, Joined(uint64_t{0}), "SyncFileSystem", 0},
  };
  Start();
  // However the driver cuts its buffers.
  const std::vector<std::vector<uint64_t>> kCuts = {
      {4096}, {40, 4096}, {1}, {16, 3, 1, 64}};
  for (const auto& cut : kCuts) {
    piece_sizes = cut;
    gap = cut.size() == 1 ? 0 : 5;
    for (const auto& row : kTable) {
      SCOPED_TRACE(row.call);
      tree.calls.clear();
      const Reply reply = client.Call(row.opcode, 9, row.body, 300);
      EXPECT_EQ(reply.error, 0);
      EXPECT_THAT(tree.calls, ElementsAre(row.call));
      EXPECT_EQ(reply.payload.size(), row.payload);
      // The tree's error is the guest's.
      tree.error = EDOM;
      const bool released = row.opcode == Opcode::kRelease ||
                            row.opcode == Opcode::kReleaseDirectory;
      const Reply refused = client.Call(row.opcode, 9, row.body, 300);
      EXPECT_EQ(refused.error, released ? 0 : EDOM);
      tree.error = 0;
      // Every byte less is a message that is not whole. Without any the opcodes
      // that take nothing are whole.
      for (size_t size = 0; size < row.body.size(); ++size) {
        if (row.opcode == Opcode::kSyncFileSystem) break;
        tree.calls.clear();
        const Reply cut_short =
            client.Call(row.opcode, 9,
                        Bytes(row.body.begin(),
                              row.body.begin() + static_cast<ptrdiff_t>(size)),
                        300);
        EXPECT_EQ(cut_short.error, EINVAL) << size;
        EXPECT_THAT(tree.calls, IsEmpty());
      }
      // Without room for the whole reply nothing is done, but for those whose
      // reply may have any length.
      for (uint32_t room = 16; room < 16 + row.payload; room += 7) {
        tree.calls.clear();
        EXPECT_EQ(client.Call(row.opcode, 9, row.body, room).error, EINVAL);
        EXPECT_THAT(tree.calls, IsEmpty());
      }
      for (const uint32_t room : {0u, 1u, 15u}) {
        tree.calls.clear();
        EXPECT_EQ(client.Call(row.opcode, 9, row.body, room).error, -1);
        EXPECT_EQ(last.outcome, FuseServer::Outcome::kMalformed);
        EXPECT_THAT(tree.calls, IsEmpty());
      }
    }
  }
}

TEST_F(FuseServerTest, RepliesHaveWhatTheTreeSaid) {
  Start();
  tree.entry = {.node = 0x1234567890,
                .attributes = {.inode = 6, .size = 7, .mode = 0100600}};
  const auto entry =
      client.Call(Opcode::kLookup, 1, Joined(Name("n"))).As<fuse::EntryOut>();
  EXPECT_EQ(entry.node, 0x1234567890u);
  EXPECT_EQ(entry.generation, 0u);
  EXPECT_EQ(entry.entry_valid, 2u);
  EXPECT_EQ(entry.entry_valid_nanoseconds, 500'000'000u);
  EXPECT_EQ(entry.attributes_valid, 2u);
  EXPECT_EQ(entry.attributes_valid_nanoseconds, 500'000'000u);
  EXPECT_EQ(entry.attributes.inode, 6u);
  EXPECT_EQ(entry.attributes.size, 7u);
  const auto attributes =
      client.Call(Opcode::kGetAttributes, 1, Joined(fuse::GetAttributesIn{}))
          .As<fuse::AttributesOut>();
  EXPECT_EQ(attributes.valid, 2u);
  EXPECT_EQ(attributes.valid_nanoseconds, 500'000'000u);
  EXPECT_EQ(attributes.attributes.mode, 0100600u);
  const Reply created =
      client.Call(Opcode::kCreate, 1, Joined(fuse::CreateIn{}, Name("n")));
  EXPECT_EQ(created.As<fuse::EntryOut>().node, 0x1234567890u);
  EXPECT_EQ(created.As<fuse::OpenOut>(sizeof(fuse::EntryOut)).handle, 89u);
  EXPECT_EQ(client.Call(Opcode::kOpen, 1, Joined(fuse::OpenIn{}))
                .As<fuse::OpenOut>()
                .handle,
            88u);
  EXPECT_EQ(client.Call(Opcode::kSeek, 1, Joined(fuse::SeekIn{}))
                .As<fuse::SeekOut>()
                .offset,
            4321u);
  EXPECT_EQ(
      client.Call(Opcode::kStatFileSystem, 1).As<fuse::FileSystemOut>().blocks,
      123u);
  tree.contents = "../where/it/points";
  EXPECT_EQ(client.Call(Opcode::kReadLink, 1).Text(), "../where/it/points");
  EXPECT_EQ(client.Call(Opcode::kReadLink, 1, {}, 20).error, EINVAL);
}

TEST_F(FuseServerTest, WhatIsNotOfferedIsSaidToBeUnknown) {
  Start();
  for (uint32_t opcode = 0; opcode < 5000; ++opcode) {
    const bool locks_or_xattrs =
        (opcode >= 21 && opcode <= 24) || (opcode >= 31 && opcode <= 33);
    const bool unknown = opcode == 0 || opcode == 7 || opcode == 19 ||
                         opcode == 37 || opcode == 40 || opcode == 41 ||
                         opcode == 48 || opcode == 49 || opcode > 50;
    if (!locks_or_xattrs && !unknown) continue;
    EXPECT_EQ(
        client.Call(static_cast<Opcode>(opcode), 9, Bytes(300, std::byte{'a'}))
            .error,
        ENOSYS)
        << opcode;
  }
  EXPECT_EQ(client.Call(Opcode::kIoctl, 9, Bytes(32)).error, ENOTTY);
  EXPECT_EQ(client.Call(Opcode::kFlush, 9, Bytes(24)).error, 0);
  EXPECT_THAT(tree.calls, IsEmpty());
}

TEST_F(FuseServerTest, NamesThatAreNoStepDownNeverReachTheTree) {
  Start();
  const struct {
    std::string name;
    int error;
  } kTable[] = {
      {Name(""), EINVAL},
      {Name("."), EINVAL},
      {Name(".."), EINVAL},
      {Name("/"), EINVAL},
      {Name("a/b"), EINVAL},
      {Name("../a"), EINVAL},
      {"no NUL", EINVAL},
      {Name("a") + "b", EINVAL},
      {Name("a") + '\0', EINVAL},
      {Name(std::string(256, 'x')), ENAMETOOLONG},
      {Name(std::string(5000, 'x')), EINVAL},
  };
  for (const auto& row : kTable) {
    const std::string& n = row.name;
    const struct {
      Opcode opcode;
      Bytes body;
    } kMessages[] = {
        {Opcode::kLookup, Joined(n)},
        {Opcode::kUnlink, Joined(n)},
        {Opcode::kRemoveDirectory, Joined(n)},
        {Opcode::kMakeNode, Joined(fuse::MakeNodeIn{}, n)},
        {Opcode::kMakeDirectory, Joined(fuse::MakeDirectoryIn{}, n)},
        {Opcode::kCreate, Joined(fuse::CreateIn{}, n)},
        {Opcode::kLink, Joined(fuse::LinkIn{}, n)},
        {Opcode::kRename, Joined(fuse::RenameIn{}, Name("good"), n)},
        {Opcode::kRename2, Joined(fuse::Rename2In{}, Name("good"), n)},
    };
    for (const auto& message : kMessages) {
      EXPECT_EQ(client.Call(message.opcode, 1, message.body).error, row.error)
          << n << " in " << static_cast<int>(message.opcode);
    }
    if (n.size() < 5000 && n.find('\0') == n.size() - 1) {
      EXPECT_EQ(client
                    .Call(Opcode::kRename, 1,
                          Joined(fuse::RenameIn{}, n, Name("good")))
                    .error,
                row.error)
          << n;
      EXPECT_EQ(client.Call(Opcode::kSymlink, 1, Joined(n, Name("text"))).error,
                row.error)
          << n;
    }
  }
  EXPECT_EQ(client
                .Call(Opcode::kSymlink, 1,
                      Joined(Name("a"), Name(std::string(4096, 'x'))))
                .error,
            ENAMETOOLONG);
  EXPECT_THAT(tree.calls, IsEmpty());
  EXPECT_EQ(client
                .Call(Opcode::kSymlink, 1,
                      Joined(Name(std::string(255, 'a')),
                             Name(std::string(4095, 'x'))))
                .error,
            0);
}

TEST_F(FuseServerTest, TimesOutOfRangeAreRefused) {
  Start();
  for (const uint32_t nanoseconds :
       {1'000'000'000u, (1u << 30) - 1, (1u << 30) - 2, ~0u}) {
    EXPECT_EQ(client
                  .Call(Opcode::kSetAttributes, 1,
                        Joined(fuse::SetAttributesIn{
                            .valid = fuse::kSetAccessTime,
                            .access_nanoseconds = nanoseconds}))
                  .error,
              EINVAL);
    EXPECT_EQ(client
                  .Call(Opcode::kSetAttributes, 1,
                        Joined(fuse::SetAttributesIn{
                            .valid = fuse::kSetModifyTime,
                            .modify_nanoseconds = nanoseconds}))
                  .error,
              EINVAL);
  }
  EXPECT_THAT(tree.calls, IsEmpty());
}

TEST_F(FuseServerTest, MessagesWhoseLengthIsNotThatOfTheBuffersAreMalformed) {
  Start();
  const Bytes good = client.Message(Opcode::kLookup, 1, Joined(Name("n")));
  const struct {
    uint32_t length;
    FuseServer::Outcome outcome;
  } kTable[] = {
      {0, FuseServer::Outcome::kMalformed},
      {39, FuseServer::Outcome::kMalformed},
      {40, FuseServer::Outcome::kReplied},
      {42, FuseServer::Outcome::kReplied},
      {43, FuseServer::Outcome::kMalformed},
      {~0u, FuseServer::Outcome::kMalformed},
  };
  for (const auto& row : kTable) {
    Bytes message = good;
    std::memcpy(message.data(), &row.length, sizeof row.length);
    tree.calls.clear();
    Send(message, 200);
    EXPECT_EQ(last.outcome, row.outcome) << row.length;
    EXPECT_EQ(tree.calls.size(), row.length == 42 ? 1u : 0u);
  }
  for (size_t size = 0; size < sizeof(fuse::InHeader); ++size) {
    Send(Bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(size)), 200);
    EXPECT_EQ(last.outcome, FuseServer::Outcome::kMalformed);
  }
  // What lies behind the message is not part of it.
  Bytes longer = good;
  longer.resize(100);
  tree.calls.clear();
  Send(longer, 200);
  EXPECT_THAT(tree.calls, ElementsAre("Lookup 1/n"));
}

TEST_F(FuseServerTest, ForgettingWantsNoReply) {
  Start();
  EXPECT_EQ(
      client.Call(Opcode::kForget, 9, Joined(fuse::ForgetIn{.lookups = 3}))
          .error,
      -1);
  EXPECT_EQ(last.outcome, FuseServer::Outcome::kNoReply);
  EXPECT_EQ(client
                .Call(Opcode::kBatchForget, 0,
                      Joined(fuse::BatchForgetIn{.count = 2},
                             fuse::ForgetOne{.node = 5, .lookups = 6},
                             fuse::ForgetOne{.node = 7, .lookups = 8}),
                      0)
                .error,
            -1);
  EXPECT_EQ(last.outcome, FuseServer::Outcome::kNoReply);
  EXPECT_THAT(tree.calls,
              ElementsAre("Forget 9 3", "Forget 5 6", "Forget 7 8"));
  tree.calls.clear();
  client.Call(Opcode::kForget, 9, Bytes(7), 0);
  client.Call(Opcode::kBatchForget, 9, Bytes(7), 0);
  client.Call(Opcode::kInterrupt, 9, Bytes(8), 0);
  EXPECT_EQ(last.outcome, FuseServer::Outcome::kNoReply);
  EXPECT_THAT(tree.calls, IsEmpty());
}

TEST_F(FuseServerTest, ACountOfForgetsIsBoundedByTheMessageAndTheLimit) {
  Start();
  client.Call(Opcode::kBatchForget, 0,
              Joined(fuse::BatchForgetIn{.count = ~0u},
                     fuse::ForgetOne{.node = 5, .lookups = 6}, uint64_t{7}),
              0);
  EXPECT_THAT(tree.calls, ElementsAre("Forget 5 6"));
  tree.calls.clear();
  Bytes many = Joined(fuse::BatchForgetIn{.count = kMaxForgets + 100});
  many.resize(many.size() + (kMaxForgets + 100) * sizeof(fuse::ForgetOne));
  client.Call(Opcode::kBatchForget, 0, many, 0);
  EXPECT_EQ(tree.calls.size(), kMaxForgets);
}

// ---- Data -------------------------------------------------------------------

TEST_F(FuseServerTest, DataGoesIntoTheGuestsBuffers) {
  Start();
  for (int i = 0; i < 5000; ++i) tree.contents += static_cast<char>(i % 251);
  const std::vector<std::vector<uint64_t>> kCuts = {
      {16, 4096}, {80, 4096}, {1000}, {100, 37, 300}};
  for (const auto& cut : kCuts) {
    piece_sizes = cut;
    gap = 11;
    EXPECT_EQ(client.Read(1, 0, 5000).Text(), tree.contents);
    EXPECT_EQ(client.Read(1, 10, 600).Text(), tree.contents.substr(10, 600));
    EXPECT_EQ(client.Read(1, 4990, 600).Text(), tree.contents.substr(4990));
    EXPECT_EQ(client.Read(1, 6000, 600).Text(), "");
    const Reply reply = client.Write(1, 5, tree.contents);
    EXPECT_EQ(reply.As<fuse::WriteOut>().size, 5000u);
    EXPECT_EQ(tree.written, tree.contents);
  }
}

TEST_F(FuseServerTest, AReadIsNoLongerThanItsRoomItsSizeAndTheLimit) {
  Start();
  const struct {
    uint32_t size;
    uint32_t room;
    const char* call;
  } kTable[] = {
      {100, 16, "Read 3 0 0"},
      {100, 17, "Read 3 0 1"},
      {100, 116, "Read 3 0 100"},
      {100, 200, "Read 3 0 100"},
      {0, 200, "Read 3 0 0"},
      {~0u, 200, "Read 3 0 184"},
      {~0u, 2u << 20, "Read 3 0 1048576"},
  };
  piece_sizes = {1u << 20};
  for (const auto& row : kTable) {
    tree.calls.clear();
    client.Call(Opcode::kRead, 1,
                Joined(fuse::ReadIn{.handle = 3, .size = row.size}), row.room);
    EXPECT_THAT(tree.calls, ElementsAre(row.call));
  }
}

TEST_F(FuseServerTest, AWriteIsAsLongAsItSays) {
  Start();
  const auto write = [this](uint32_t size, const std::string& text) {
    return client.Call(Opcode::kWrite, 1,
                       Joined(fuse::WriteIn{.handle = 3, .size = size}, text));
  };
  EXPECT_EQ(write(4, "text").error, 0);
  EXPECT_EQ(write(3, "text").error, 0);
  EXPECT_EQ(tree.written, "tex");
  EXPECT_EQ(write(0, "").error, 0);
  tree.calls.clear();
  EXPECT_EQ(write(5, "text").error, EINVAL);
  EXPECT_EQ(write(~0u, "text").error, EINVAL);
  piece_sizes = {1u << 20};
  EXPECT_EQ(write(kMaxTransfer + 1, std::string(kMaxTransfer + 1, 'x')).error,
            EINVAL);
  EXPECT_THAT(tree.calls, IsEmpty());
  EXPECT_EQ(write(kMaxTransfer, std::string(kMaxTransfer, 'x')).error, 0);
  // What was not written is not said to be.
  tree.write_limit = 3;
  EXPECT_EQ(write(4, "text").As<fuse::WriteOut>().size, 3u);
}

TEST_F(FuseServerTest, WhatWasReadIsDirtyAndNothingElse) {
  Start();
  piece_sizes = {16, 4096, 8192};
  gap = 4096 - 16;
  tree.contents = std::string(5000, 'x');
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<DirtyBitmap> dirty,
                       memory->TrackDirty(Gpa(0)));
  const auto collect = [&dirty] {
    std::vector<uint64_t> words(kMemorySize / 4096 / 64);
    dirty->Collect(words);
    std::vector<uint64_t> pages;
    for (uint64_t page = 0; page < kMemorySize / 4096; ++page) {
      if ((words[page / 64] >> page % 64 & 1) != 0) {
        pages.push_back(page - kRoomStart.value() / 4096);
      }
    }
    return pages;
  };
  // The header; a page; then 904 of 8192 bytes, which begin 16 bytes before the
  // end of a page.
  client.Read(1, 0, 12288);
  EXPECT_THAT(collect(), ElementsAre(0, 1, 2, 3));
  // All of it when the call failed halfway.
  tree.error = EIO;
  client.Read(1, 0, 12288);
  EXPECT_THAT(collect(), ElementsAre(0, 1, 2, 3, 4));
}

TEST_F(FuseServerTest, MorePiecesThanAChainHasAreNotAllUsed) {
  Start();
  piece_sizes = {1};
  tree.contents = std::string(2000, 'x');
  EXPECT_EQ(client.Read(1, 0, 1000).payload.size(),
            DescriptorChain::kMaxSegments);
  EXPECT_EQ(client.Write(1, 0, tree.contents).error, EINVAL);
}

// ---- Directories ------------------------------------------------------------

struct Listed {
  std::string name;
  uint64_t inode = 0;
  uint64_t next = 0;
  uint64_t node = 0;
};

std::vector<Listed> Parse(const Reply& reply, bool plus) {
  std::vector<Listed> all;
  size_t at = 0;
  while (at < reply.payload.size()) {
    Listed one;
    if (plus) {
      one.node = reply.As<fuse::EntryOut>(at).node;
      at += sizeof(fuse::EntryOut);
    }
    const auto entry = reply.As<fuse::DirectoryEntry>(at);
    at += sizeof entry;
    EXPECT_LE(at + entry.name_size, reply.payload.size());
    one.name = reply.Text().substr(at, entry.name_size);
    one.inode = entry.inode;
    one.next = entry.next_offset;
    EXPECT_EQ(entry.type, 8u);
    at = (at + entry.name_size + 7) / 8 * 8;
    all.push_back(one);
  }
  EXPECT_EQ(at, reply.payload.size());
  return all;
}

TEST_F(FuseServerTest, DirectoriesAreListedAsFarAsThereIsRoom) {
  Start();
  tree.names = {".", "..", "a", "file", "a_name_of_24_characters_"};
  for (const bool plus : {false, true}) {
    for (const uint32_t size : {24u, 32u, 40u, 64u, 100u, 160u, 1000u, 5000u}) {
      std::vector<std::string> names;
      uint64_t offset = 0;
      for (int calls = 0; calls < 10; ++calls) {
        const Reply reply = client.Call(
            plus ? Opcode::kReadDirectoryPlus : Opcode::kReadDirectory, 9,
            Joined(fuse::ReadIn{.handle = 3, .offset = offset, .size = size}),
            6000);
        EXPECT_EQ(reply.error, 0);
        EXPECT_LE(reply.payload.size(), size);
        const std::vector<Listed> listed = Parse(reply, plus);
        if (listed.empty()) break;
        for (const Listed& one : listed) {
          EXPECT_EQ(one.inode, 100 + offset);
          EXPECT_EQ(one.next, ++offset);
          names.push_back(one.name);
          const bool dots = one.name == "." || one.name == "..";
          EXPECT_EQ(one.node, plus && !dots ? 77u : 0u);
        }
      }
      // With room for each at least.
      const uint32_t enough = plus ? 176 : 48;
      if (size >= enough) {
        EXPECT_EQ(names, tree.names) << size;
      }
    }
  }
}

TEST_F(FuseServerTest, OnlyWhatIsListedIsLookedUp) {
  Start();
  tree.names = {"a", "b", "c"};
  const Reply reply = client.Call(
      Opcode::kReadDirectoryPlus, 9,
      Joined(fuse::ReadIn{.handle = 3, .size = 2 * 160 + 159}), 6000);
  EXPECT_EQ(Parse(reply, true).size(), 2u);
  EXPECT_THAT(tree.calls,
              ElementsAre("ReadDirectory 3 0", "Lookup 9/a", "Lookup 9/b"));
}

TEST_F(FuseServerTest, AnEntryThatCannotBeLookedUpKeepsItsName) {
  Start();
  tree.names = {"a"};
  tree.error = ENFILE;
  tree.error_after_entries = EIO;
  const Reply reply =
      client.Call(Opcode::kReadDirectoryPlus, 9,
                  Joined(fuse::ReadIn{.handle = 3, .size = 1000}), 6000);
  ASSERT_EQ(reply.error, 0);
  const std::vector<Listed> listed = Parse(reply, true);
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].name, "a");
  EXPECT_EQ(listed[0].node, 0u);
  // The error comes when there is nothing else to say.
  EXPECT_EQ(
      client
          .Call(Opcode::kReadDirectoryPlus, 9,
                Joined(fuse::ReadIn{.handle = 3, .offset = 1, .size = 1000}),
                6000)
          .error,
      EIO);
}

TEST_F(FuseServerTest, HowLongGuestsMayKeepWhatTheyKnow) {
  const struct {
    absl::Duration cache_for;
    uint64_t seconds;
    uint32_t nanoseconds;
  } kTable[] = {
      {absl::ZeroDuration(), 0, 0},
      {absl::Nanoseconds(1), 0, 1},
      {absl::Seconds(60), 60, 0},
      {absl::InfiniteDuration(), 366 * 24 * 3600, 0},
  };
  for (const auto& row : kTable) {
    FuseServer other(tree, {.cache_for = row.cache_for});
    FuseTestClient guest([&](const Bytes& message, uint32_t room) {
      const std::vector<ChainSegment> from = Pieces(Gpa(0), message.size());
      std::memcpy(from[0].data, message.data(), message.size());
      const std::vector<ChainSegment> to = Pieces(kRoomStart, room);
      const FuseServer::Result result = other.Serve(from, to, *memory);
      return std::optional<Bytes>(
          Bytes(to[0].data, to[0].data + result.written));
    });
    EXPECT_EQ(guest.Init().error, 0);
    const auto entry =
        guest.Call(Opcode::kLookup, 1, Joined(Name("n"))).As<fuse::EntryOut>();
    EXPECT_EQ(entry.entry_valid, row.seconds);
    EXPECT_EQ(entry.entry_valid_nanoseconds, row.nanoseconds);
  }
}

}  // namespace
}  // namespace libvmm
