// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/host_directory.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/fs/file_tree.h"
#include "libvmm/devices/virtio/fs/fuse_protocol.h"
#include "libvmm/devices/virtio/fs/share_test_directory.h"
#include "libvmm/memory/file_transfer.h"
#include "libvmm/testing/process_resources.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::fuse::kRootNode;
using ::libvmm::testing::ProcessResources;
using ::libvmm::testing::Repetitions;
using ::libvmm::testing::ShareTestDirectory;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr uint64_t kHuge = uint64_t{1} << 63;

// Takes this process's umask away while it lives.
class Umask {
 public:
  explicit Umask(mode_t mask) : before_(::umask(mask)) {}
  Umask(const Umask&) = delete;
  ~Umask() { ::umask(before_); }

 private:
  mode_t before_;
};

class HostDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override { outside_ = share.OutsideState(); }
  // Whatever a test does: beside the share nothing changed.
  void TearDown() override { EXPECT_EQ(share.OutsideState(), outside_); }

  std::unique_ptr<HostDirectory> Share(HostDirectory::Options options = {}) {
    options.path = share.Path();
    return *HostDirectory::Create(options);
  }
  // One that keeps as few files open as can be.
  std::unique_ptr<HostDirectory> SmallShare() {
    return Share({.max_open_nodes = 65, .max_handles = 1});
  }
  // Has a SmallShare use so many other files that no others stay open.
  void Evict(HostDirectory& tree) {
    if (!share.Exists("filler")) {
      share.MakeDirectory("filler");
      for (int i = 0; i < 70; ++i) {
        share.WriteFile("filler/" + std::to_string(i), "");
      }
    }
    const FileTree::Node filler = Find(tree, "filler");
    for (int i = 0; i < 70; ++i) Find(tree, std::to_string(i), filler);
  }

  static FileTree::Entry Entry(HostDirectory& tree, absl::string_view name,
                               FileTree::Node parent = kRootNode) {
    FileTree::Entry entry;
    EXPECT_EQ(tree.Lookup({.parent = parent, .name = name}, entry), 0) << name;
    return entry;
  }
  static FileTree::Node Find(HostDirectory& tree, absl::string_view name,
                             FileTree::Node parent = kRootNode) {
    return Entry(tree, name, parent).node;
  }
  static int LookupError(HostDirectory& tree, absl::string_view name,
                         FileTree::Node parent = kRootNode) {
    FileTree::Entry entry;
    return tree.Lookup({.parent = parent, .name = name}, entry);
  }
  static int StatError(HostDirectory& tree, FileTree::Node node) {
    fuse::Attributes attributes;
    return tree.GetAttributes(node, std::nullopt, attributes);
  }
  static int OpenError(HostDirectory& tree, FileTree::Node node,
                       uint32_t flags) {
    FileTree::Handle handle = 0;
    return tree.Open(node, flags, handle);
  }
  static FileTree::Handle OpenFile(HostDirectory& tree, FileTree::Node node,
                                   uint32_t flags = O_RDONLY) {
    FileTree::Handle handle = 0;
    EXPECT_EQ(tree.Open(node, flags, handle), 0);
    return handle;
  }
  static std::string ReadText(HostDirectory& tree, FileTree::Handle handle,
                              uint64_t offset = 0, size_t size = 100) {
    std::string text(size, '?');
    std::array<iovec, 2> parts = {
        {{.iov_base = text.data(), .iov_len = size / 3},
         {.iov_base = text.data() + size / 3, .iov_len = size - size / 3}}};
    const FileTransfer read = tree.Read(handle, offset, parts);
    EXPECT_EQ(read.error, 0);
    return text.substr(0, read.bytes);
  }
  // What a guest gets that reads the file.
  static std::string Contents(HostDirectory& tree, FileTree::Node node) {
    const FileTree::Handle handle = OpenFile(tree, node);
    std::string text = ReadText(tree, handle);
    tree.Release(handle);
    return text;
  }
  static FileTransfer WriteText(HostDirectory& tree, FileTree::Handle handle,
                                uint64_t offset, std::string text) {
    std::array<iovec, 2> parts = {
        {{.iov_base = text.data(), .iov_len = text.size() / 2},
         {.iov_base = text.data() + text.size() / 2,
          .iov_len = text.size() - text.size() / 2}}};
    return tree.Write(handle, offset, parts);
  }
  static std::vector<std::string> List(HostDirectory& tree,
                                       FileTree::Node node) {
    FileTree::Handle handle = 0;
    EXPECT_EQ(tree.OpenDirectory(node, handle), 0);
    std::vector<std::string> names;
    EXPECT_EQ(tree.ReadDirectory(handle, 0,
                                 [&names](const auto& entry) {
                                   names.emplace_back(entry.name);
                                   return true;
                                 }),
              0);
    tree.ReleaseDirectory(handle);
    return names;
  }
  mode_t ModeOnHost(const std::string& name) {
    struct stat stat;
    EXPECT_EQ(::lstat(share.Path(name).c_str(), &stat), 0) << name;
    return stat.st_mode & 07777;
  }

  ShareTestDirectory share;

 private:
  std::string outside_;
};

// ---- Create -----------------------------------------------------------------

TEST_F(HostDirectoryTest, OptionsAreValidated) {
  share.WriteFile("file", "");
  const struct {
    HostDirectory::Options options;
    absl::StatusCode code;
    const char* words;
  } kTable[] = {
      {{}, absl::StatusCode::kInvalidArgument, "path"},
      {{.path = std::string("/\0/", 3)},
       absl::StatusCode::kInvalidArgument,
       "path"},
      {{.path = share.Path("absent")}, absl::StatusCode::kNotFound, "absent"},
      {{.path = share.Path("file")},
       absl::StatusCode::kFailedPrecondition,
       "file: ENOTDIR"},
      {{.path = share.Path(), .max_nodes = 0},
       absl::StatusCode::kInvalidArgument,
       "max_nodes"},
      {{.path = share.Path(), .max_handles = 0},
       absl::StatusCode::kInvalidArgument,
       "max_handles"},
      {{.path = share.Path(), .max_open_nodes = 319},
       absl::StatusCode::kInvalidArgument,
       "max_open_nodes is 319"},
      {{.path = share.Path(), .max_open_nodes = 63, .max_handles = 1},
       absl::StatusCode::kInvalidArgument,
       "max_open_nodes is 63"},
  };
  for (const auto& row : kTable) {
    EXPECT_THAT(HostDirectory::Create(row.options).status(),
                StatusIs(row.code, HasSubstr(row.words)));
  }
}

TEST_F(HostDirectoryTest, GivesBackEveryDescriptor) {
  share.MakeDirectory("d");
  share.WriteFile("d/f", "text");
  const ProcessResources before = ProcessResources::Now();
  {
    const auto tree = Share();
    const FileTree::Node d = Find(*tree, "d");
    OpenFile(*tree, Find(*tree, "f", d));
    FileTree::Handle handle = 0;
    EXPECT_EQ(tree->OpenDirectory(d, handle), 0);
  }
  EXPECT_EQ(ProcessResources::Now().Since(before), "");
}

// ---- Nodes ------------------------------------------------------------------

TEST_F(HostDirectoryTest, AFileIsOneNodeByWhateverName) {
  share.WriteFile("a", "text");
  ASSERT_EQ(::link(share.Path("a").c_str(), share.Path("b").c_str()), 0);
  const auto tree = Share();
  const FileTree::Node node = Find(*tree, "a");
  EXPECT_NE(node, kRootNode);
  EXPECT_EQ(Find(*tree, "a"), node);
  EXPECT_EQ(Find(*tree, "b"), node);
  EXPECT_EQ(tree->usage().nodes, 2u);
}

TEST_F(HostDirectoryTest, ANodeStaysUntilEachLookupIsForgotten) {
  share.WriteFile("a", "text");
  const auto tree = Share();
  const FileTree::Node node = Find(*tree, "a");
  Find(*tree, "a");
  tree->Forget(node, 1);
  EXPECT_EQ(StatError(*tree, node), 0);
  tree->Forget(node, 1);
  EXPECT_EQ(StatError(*tree, node), ESTALE);
  EXPECT_EQ(tree->usage().nodes, 1u);
  EXPECT_EQ(tree->usage().open_nodes, 1u);
  // Another file in the same place has another number.
  EXPECT_NE(Find(*tree, "a"), node);
  EXPECT_EQ(StatError(*tree, node), ESTALE);
}

TEST_F(HostDirectoryTest, ForgettingTooMuchIsForgettingAll) {
  share.WriteFile("a", "text");
  const auto tree = Share();
  const FileTree::Node node = Find(*tree, "a");
  tree->Forget(node, ~uint64_t{0});
  tree->Forget(node, 1);
  tree->Forget(kRootNode, ~uint64_t{0});
  for (const uint64_t number :
       {uint64_t{0}, uint64_t{2}, kHuge, ~uint64_t{0}}) {
    tree->Forget(number, 1);
    EXPECT_EQ(StatError(*tree, number), ESTALE) << number;
  }
  EXPECT_EQ(StatError(*tree, kRootNode), 0);
  EXPECT_EQ(tree->usage().nodes, 1u);
}

TEST_F(HostDirectoryTest, ADirectoryOutlivesItsForgettingWhileAChildIsKnown) {
  share.MakeDirectory("d");
  share.WriteFile("d/f", "text");
  const auto tree = SmallShare();
  const FileTree::Node d = Find(*tree, "d");
  const FileTree::Node f = Find(*tree, "f", d);
  tree->Forget(d, 1);
  Evict(*tree);
  EXPECT_EQ(Contents(*tree, f), "text");
  const uint32_t nodes = tree->usage().nodes;
  tree->Forget(f, 1);
  EXPECT_EQ(tree->usage().nodes, nodes - 2);
}

TEST_F(HostDirectoryTest, NamesThatAreNoStepDownAreRefused) {
  const struct {
    absl::string_view name;
    int error;
  } kTable[] = {
      {"", EINVAL},        {".", EINVAL},         {"..", EINVAL},
      {"/", EINVAL},       {"../secret", EINVAL}, {"d/f", EINVAL},
      {"/etc", EINVAL},    {"d/", EINVAL},        {{"d\0", 2}, EINVAL},
      {{"\0", 1}, EINVAL},
  };
  share.MakeDirectory("d");
  share.WriteFile("d/f", "text");
  const auto tree = Share();
  const FileTree::Node d = Find(*tree, "d");
  const std::string long_name(256, 'x');
  for (const auto& row : kTable) {
    for (const FileTree::Node parent : {kRootNode, d}) {
      const FileTree::Place place = {.parent = parent, .name = row.name};
      const FileTree::Place good = {.parent = kRootNode, .name = "good"};
      FileTree::Entry entry;
      FileTree::Handle handle = 0;
      EXPECT_EQ(tree->Lookup(place, entry), row.error) << row.name;
      EXPECT_EQ(tree->MakeDirectory(place, {.mode = 0755}, entry), row.error);
      EXPECT_EQ(tree->MakeNode(place, {.mode = 0644}, entry), row.error);
      EXPECT_EQ(tree->Symlink(place, "text", {}, entry), row.error);
      EXPECT_EQ(tree->Create(place, {.mode = 0644}, O_RDWR, entry, handle),
                row.error);
      EXPECT_EQ(tree->Unlink(place), row.error);
      EXPECT_EQ(tree->RemoveDirectory(place), row.error);
      EXPECT_EQ(tree->Rename(place, good, 0), row.error);
      EXPECT_EQ(tree->Rename({.parent = kRootNode, .name = "d"}, place, 0),
                row.error);
      EXPECT_EQ(tree->Link(Find(*tree, "f", d), place, entry), row.error);
    }
  }
  EXPECT_EQ(LookupError(*tree, long_name), ENAMETOOLONG);
  EXPECT_EQ(LookupError(*tree, long_name.substr(1)), ENOENT);
  EXPECT_THAT(List(*tree, kRootNode), UnorderedElementsAre(".", "..", "d"));
  EXPECT_THAT(List(*tree, d), UnorderedElementsAre(".", "..", "f"));
}

TEST_F(HostDirectoryTest, AttributesAreTheHosts) {
  share.WriteFile("f", std::string(5000, 'x'));
  const timespec times[2] = {{.tv_sec = 1234, .tv_nsec = 56},
                             {.tv_sec = -7890, .tv_nsec = 12}};
  ASSERT_EQ(::utimensat(AT_FDCWD, share.Path("f").c_str(), times, 0), 0);
  ASSERT_EQ(::chmod(share.Path("f").c_str(), 0640), 0);
  struct stat stat;
  ASSERT_EQ(::stat(share.Path("f").c_str(), &stat), 0);
  const auto tree = Share();
  const fuse::Attributes attributes = Entry(*tree, "f").attributes;
  EXPECT_EQ(attributes.inode, stat.st_ino);
  EXPECT_EQ(attributes.size, 5000u);
  EXPECT_EQ(attributes.blocks, static_cast<uint64_t>(stat.st_blocks));
  EXPECT_EQ(attributes.access_time, 1234u);
  EXPECT_EQ(attributes.access_nanoseconds, 56u);
  EXPECT_EQ(static_cast<int64_t>(attributes.modify_time), -7890);
  EXPECT_EQ(attributes.modify_nanoseconds, 12u);
  EXPECT_EQ(attributes.change_time, static_cast<uint64_t>(stat.st_ctim.tv_sec));
  EXPECT_EQ(attributes.mode, S_IFREG | 0640u);
  EXPECT_EQ(attributes.links, 1u);
  EXPECT_EQ(attributes.uid, stat.st_uid);
  EXPECT_EQ(attributes.gid, stat.st_gid);
}

TEST_F(HostDirectoryTest, EveryOwnerIsShownAsTheOneAskedFor) {
  share.WriteFile("f", "");
  const auto tree = Share({.shown_owner = HostDirectory::Owner{7, 8}});
  EXPECT_EQ(Entry(*tree, "f").attributes.uid, 7u);
  EXPECT_EQ(Entry(*tree, "f").attributes.gid, 8u);
}

TEST_F(HostDirectoryTest, OwnersAreNotChanged) {
  share.WriteFile("f", "");
  const auto tree = Share();
  const auto [node, attributes] = Entry(*tree, "f");
  fuse::Attributes after;
  EXPECT_EQ(tree->SetAttributes(node, {.uid = attributes.uid + 1}, after),
            EPERM);
  EXPECT_EQ(tree->SetAttributes(node, {.gid = attributes.gid + 1}, after),
            EPERM);
  EXPECT_EQ(tree->SetAttributes(
                node, {.uid = attributes.uid, .gid = attributes.gid}, after),
            0);
  struct stat stat;
  ASSERT_EQ(::stat(share.Path("f").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_uid, attributes.uid);
}

// ---- Files that are kept closed ---------------------------------------------

TEST_F(HostDirectoryTest, ManyMoreFilesAreKnownThanOpen) {
  share.MakeDirectory("d");
  for (int i = 0; i < 300; ++i) {
    share.WriteFile("d/" + std::to_string(i), std::to_string(i));
  }
  const auto tree = SmallShare();
  const FileTree::Node d = Find(*tree, "d");
  std::vector<FileTree::Node> nodes;
  for (int i = 0; i < 300; ++i) {
    nodes.push_back(Find(*tree, std::to_string(i), d));
    EXPECT_LE(tree->usage().open_nodes, 65u);
  }
  EXPECT_EQ(tree->usage().nodes, 302u);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(Contents(*tree, nodes[i]), std::to_string(i));
    EXPECT_EQ(Find(*tree, std::to_string(i), d), nodes[i]);
    EXPECT_LE(tree->usage().open_nodes, 65u);
  }
  tree->Clear();
  EXPECT_EQ(tree->usage().nodes, 1u);
  EXPECT_EQ(tree->usage().open_nodes, 1u);
}

TEST_F(HostDirectoryTest, AFileThatTheGuestMovedIsFoundAgain) {
  share.MakeDirectory("a");
  share.MakeDirectory("b");
  share.WriteFile("a/f", "text");
  const auto tree = SmallShare();
  const FileTree::Node a = Find(*tree, "a");
  const FileTree::Node b = Find(*tree, "b");
  const FileTree::Node f = Find(*tree, "f", a);
  ASSERT_EQ(tree->Rename({a, "f"}, {b, "g"}, 0), 0);
  ASSERT_EQ(tree->Rename({kRootNode, "b"}, {kRootNode, "c"}, 0), 0);
  Evict(*tree);
  EXPECT_EQ(Contents(*tree, f), "text");
  // And both, when they changed places.
  share.WriteFile("c/h", "other");
  const FileTree::Node h = Find(*tree, "h", b);
  ASSERT_EQ(tree->Rename({b, "g"}, {b, "h"}, RENAME_EXCHANGE), 0);
  Evict(*tree);
  EXPECT_EQ(Contents(*tree, f), "text");
  EXPECT_EQ(Contents(*tree, h), "other");
}

TEST_F(HostDirectoryTest, AFileThatTheHostMovedIsStaleUntilLookedUp) {
  share.WriteFile("f", "text");
  const auto tree = SmallShare();
  const FileTree::Node f = Find(*tree, "f");
  Evict(*tree);
  share.Move("f", "g");
  EXPECT_EQ(StatError(*tree, f), ESTALE);
  EXPECT_EQ(Find(*tree, "g"), f);
  Evict(*tree);
  EXPECT_EQ(Contents(*tree, f), "text");
}

TEST_F(HostDirectoryTest, AFileThatTheHostReplacedIsStale) {
  share.WriteFile("f", "old");
  share.WriteFile("g", "new");
  const auto tree = SmallShare();
  const FileTree::Node f = Find(*tree, "f");
  Evict(*tree);
  share.Move("g", "f");
  EXPECT_EQ(StatError(*tree, f), ESTALE);
  EXPECT_NE(Find(*tree, "f"), f);
}

TEST_F(HostDirectoryTest, AnOpenFileStaysInUseWhenItIsRemoved) {
  share.WriteFile("f", "text");
  const auto tree = SmallShare();
  const FileTree::Node f = Find(*tree, "f");
  const FileTree::Handle handle = OpenFile(*tree, f, O_RDWR);
  ASSERT_EQ(tree->Unlink({kRootNode, "f"}), 0);
  Evict(*tree);
  EXPECT_EQ(ReadText(*tree, handle), "text");
  fuse::Attributes attributes;
  EXPECT_EQ(tree->GetAttributes(f, std::nullopt, attributes), 0);
  EXPECT_EQ(attributes.links, 0u);
  EXPECT_EQ(tree->GetAttributes(0, handle, attributes), 0);
  tree->Release(handle);
  Evict(*tree);
  EXPECT_EQ(StatError(*tree, f), ESTALE);
}

TEST_F(HostDirectoryTest, DirectoriesThatTheHostNestedTheOtherWayRound) {
  share.MakeDirectory("a");
  share.MakeDirectory("a/b");
  const auto tree = SmallShare();
  const FileTree::Node a = Find(*tree, "a");
  const FileTree::Node b = Find(*tree, "b", a);
  share.Move("a/b", "b");
  share.Move("a", "b/a");
  // By the descriptor of b, which the guest still has below a.
  EXPECT_EQ(Find(*tree, "a", b), a);
  Evict(*tree);
  EXPECT_EQ(StatError(*tree, a), ESTALE);
  EXPECT_EQ(StatError(*tree, b), ESTALE);
  EXPECT_EQ(Find(*tree, "b"), b);
  EXPECT_EQ(Find(*tree, "a", b), a);
  Evict(*tree);
  EXPECT_EQ(StatError(*tree, a), 0);
  for (const FileTree::Node node : {a, b}) tree->Forget(node, 9);
  tree->Forget(Find(*tree, "filler"), 99);
  tree->Clear();
  EXPECT_EQ(tree->usage().nodes, 1u);
}

// ---- Confinement ------------------------------------------------------------

TEST_F(HostDirectoryTest, SymbolicLinksAreTextAndNeverFollowed) {
  share.MakeLink("absolute", share.Outside("secret"));
  share.MakeLink("relative", "../secret");
  share.MakeLink("directory", "../vault");
  share.MakeLink("up", "..");
  share.MakeLink("root", "/");
  share.MakeLink("magic", "/proc/self/root");
  share.MakeLink("inside", "file");
  share.WriteFile("file", "text");
  const auto tree = Share();
  for (const char* const name :
       {"absolute", "relative", "directory", "up", "root", "magic", "inside"}) {
    SCOPED_TRACE(name);
    const auto [link, attributes] = Entry(*tree, name);
    EXPECT_EQ(attributes.mode & S_IFMT, uint32_t{S_IFLNK});
    for (const uint32_t flags :
         {O_RDONLY, O_RDWR, O_WRONLY | O_TRUNC, O_PATH, O_DIRECTORY}) {
      EXPECT_EQ(OpenError(*tree, link, flags), ELOOP);
    }
    FileTree::Handle handle = 0;
    EXPECT_EQ(tree->OpenDirectory(link, handle), ENOTDIR);
    FileTree::Entry entry;
    for (const char* const below : {"secret", "gold", "file", "etc"}) {
      EXPECT_EQ(LookupError(*tree, below, link), ENOTDIR);
      EXPECT_EQ(tree->MakeDirectory({link, below}, {.mode = 0755}, entry),
                ENOTDIR);
      EXPECT_EQ(tree->Unlink({link, below}), ENOTDIR);
      EXPECT_EQ(tree->Rename({link, below}, {kRootNode, "x"}, 0), ENOTDIR);
      EXPECT_EQ(tree->Rename({kRootNode, "file"}, {link, below}, 0), ENOTDIR);
    }
    // What is made where a link is, is not made where it points to.
    EXPECT_EQ(tree->MakeDirectory({kRootNode, name}, {.mode = 0755}, entry),
              EEXIST);
    EXPECT_EQ(tree->MakeNode({kRootNode, name}, {.mode = 0755}, entry), EEXIST);
    EXPECT_EQ(tree->Symlink({kRootNode, name}, "x", {}, entry), EEXIST);
    EXPECT_EQ(
        tree->Create({kRootNode, name}, {.mode = 0644}, O_RDWR, entry, handle),
        ELOOP);
    EXPECT_EQ(tree->Create({kRootNode, name}, {.mode = 0644}, O_RDWR | O_EXCL,
                           entry, handle),
              EEXIST);
    // Changes are of the link itself or nothing.
    fuse::Attributes changed;
    EXPECT_EQ(tree->SetAttributes(link, {.mode = 0777}, changed), EOPNOTSUPP);
    EXPECT_EQ(tree->SetAttributes(link, {.size = 0}, changed), EINVAL);
    EXPECT_EQ(
        tree->SetAttributes(
            link, {.modify_time = FileTree::NewTime{.seconds = 5}}, changed),
        0);
    EXPECT_EQ(changed.modify_time, 5u);
    // A second name for a link is a link.
    ASSERT_EQ(tree->Link(link, {kRootNode, "second"}, entry), 0);
    EXPECT_EQ(entry.node, link);
    EXPECT_EQ(tree->Unlink({kRootNode, "second"}), 0);
    std::array<char, 4095> text;
    size_t size = 0;
    EXPECT_EQ(tree->ReadLink(link, text, size), 0);
    EXPECT_NE(size, 0u);
  }
  std::array<char, 4095> text;
  size_t size = 0;
  ASSERT_EQ(tree->ReadLink(Find(*tree, "relative"), text, size), 0);
  EXPECT_EQ(absl::string_view(text.data(), size), "../secret");
  EXPECT_EQ(tree->ReadLink(Find(*tree, "file"), text, size), EINVAL);
  EXPECT_EQ(tree->ReadLink(kRootNode, text, size), EINVAL);
}

TEST_F(HostDirectoryTest, LinksThatTheGuestMakesAreItsOwnAffair) {
  const auto tree = Share();
  FileTree::Entry entry;
  const std::string target = share.Outside("secret");
  ASSERT_EQ(tree->Symlink({kRootNode, "l"}, target, {}, entry), 0);
  EXPECT_EQ(entry.attributes.mode & S_IFMT, uint32_t{S_IFLNK});
  EXPECT_EQ(OpenError(*tree, entry.node, O_RDONLY), ELOOP);
  EXPECT_EQ(tree->Symlink({kRootNode, "m"}, "", {}, entry), ENOENT);
  EXPECT_EQ(tree->Symlink({kRootNode, "m"}, std::string(4096, 'x'), {}, entry),
            ENAMETOOLONG);
}

TEST_F(HostDirectoryTest, ADirectorySwappedForALinkIsNotFollowed) {
  share.MakeDirectory("d");
  share.MakeDirectory("d/vault");
  share.WriteFile("d/vault/gold", "iron text");
  const auto tree = SmallShare();
  const FileTree::Node d = Find(*tree, "d");
  const FileTree::Node vault = Find(*tree, "vault", d);
  const FileTree::Node gold = Find(*tree, "gold", vault);
  Evict(*tree);
  // Now the same path leads outside.
  share.Move("d", "was_d");
  share.MakeLink("d", "..");
  FileTree::Entry entry;
  FileTree::Handle handle = 0;
  for (const FileTree::Node node : {d, vault, gold}) {
    EXPECT_EQ(StatError(*tree, node), ESTALE);
    EXPECT_EQ(OpenError(*tree, node, O_RDONLY), ESTALE);
    EXPECT_EQ(tree->OpenDirectory(node, handle), ESTALE);
    EXPECT_EQ(LookupError(*tree, "gold", node), ESTALE);
    EXPECT_EQ(tree->MakeDirectory({node, "new"}, {.mode = 0755}, entry),
              ESTALE);
    EXPECT_EQ(tree->Unlink({node, "gold"}), ESTALE);
  }
}

TEST_F(HostDirectoryTest, ADirectoryInUseIsTheSameWhateverIsPutInItsPlace) {
  share.MakeDirectory("d");
  share.WriteFile("d/gold", "iron text");
  const auto tree = Share();
  const FileTree::Node d = Find(*tree, "d");
  share.Move("d", "was_d");
  share.MakeLink("d", "../vault");
  EXPECT_EQ(Contents(*tree, Find(*tree, "gold", d)), "iron text");
  EXPECT_EQ(tree->Unlink({d, "gold"}), 0);
  EXPECT_FALSE(share.Exists("was_d/gold"));
}

TEST_F(HostDirectoryTest, SwappingWhileTheGuestWalksNeverLeadsOutside) {
  share.MakeDirectory("d");
  share.WriteFile("d/gold", "iron text");
  const auto tree = SmallShare();
  Evict(*tree);
  std::atomic<bool> stop = false;
  std::thread host([&] {
    share.MakeLink("l", "../vault");
    while (!stop.load()) {
      ::renameat2(AT_FDCWD, share.Path("d").c_str(), AT_FDCWD,
                  share.Path("l").c_str(), RENAME_EXCHANGE);
    }
  });
  int found = 0;
  for (int i = 0; i < Repetitions(3000); ++i) {
    FileTree::Entry d;
    FileTree::Entry gold;
    if (tree->Lookup({kRootNode, "d"}, d) != 0) continue;
    if (i % 16 == 0) Evict(*tree);
    if (tree->Lookup({d.node, "gold"}, gold) == 0) {
      FileTree::Handle handle = 0;
      if (tree->Open(gold.node, O_RDONLY, handle) == 0) {
        EXPECT_EQ(ReadText(*tree, handle), "iron text");
        tree->Release(handle);
        ++found;
      }
      tree->Forget(gold.node, 1);
    }
    tree->Forget(d.node, 1);
  }
  stop = true;
  host.join();
  EXPECT_GT(found, 0);
}

TEST_F(HostDirectoryTest, MagicLinksAreNotFollowed) {
  const auto tree = *HostDirectory::Create({.path = "/proc/self"});
  for (const char* const name : {"root", "cwd", "exe"}) {
    const auto [link, attributes] = Entry(*tree, name);
    EXPECT_EQ(attributes.mode & S_IFMT, uint32_t{S_IFLNK}) << name;
    EXPECT_EQ(OpenError(*tree, link, O_RDONLY), ELOOP);
    EXPECT_EQ(LookupError(*tree, "etc", link), ENOTDIR);
  }
  const FileTree::Node fd = Find(*tree, "fd");
  const FileTree::Node zero = Find(*tree, "0", fd);
  EXPECT_EQ(OpenError(*tree, zero, O_RDONLY), ELOOP);
}

TEST_F(HostDirectoryTest, MountsAreCrossedOnlyWhenAsked) {
  share.MakeDirectory("mounted");
  std::string reason;
  // In a thread of its own, with mounts of its own.
  std::thread([&] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", share.Path("mounted").c_str(), "tmpfs", 0, nullptr) !=
            0) {
      reason = "this process may not mount";
      return;
    }
    share.WriteFile("mounted/f", "text");
    EXPECT_EQ(LookupError(*Share(), "mounted"), EXDEV);
    const auto tree = Share({.cross_mounts = true});
    const FileTree::Node mounted = Find(*tree, "mounted");
    EXPECT_EQ(Contents(*tree, Find(*tree, "f", mounted)), "text");
    // Names do not go from one file system into the other.
    FileTree::Entry entry;
    EXPECT_EQ(tree->Link(Find(*tree, "f", mounted), {kRootNode, "g"}, entry),
              EXDEV);
    EXPECT_EQ(tree->Rename({mounted, "f"}, {kRootNode, "g"}, 0), EXDEV);
  }).join();
  if (!reason.empty()) GTEST_SKIP() << reason;
}

TEST_F(HostDirectoryTest, DevicesAndPipesAreShownButNotOpened) {
  ASSERT_EQ(::mkfifo(share.Path("pipe").c_str(), 0644), 0);
  const bool device =
      ::mknod(share.Path("null").c_str(), S_IFCHR | 0666, ::makedev(1, 3)) == 0;
  const auto tree = Share();
  std::vector<std::pair<const char*, uint32_t>> files = {{"pipe", S_IFIFO}};
  if (device) files.emplace_back("null", S_IFCHR);
  for (const auto& [name, type] : files) {
    const auto [node, attributes] = Entry(*tree, name);
    EXPECT_EQ(attributes.mode & S_IFMT, type);
    for (const uint32_t flags :
         {O_RDONLY, O_RDWR, O_WRONLY | O_TRUNC, O_NONBLOCK}) {
      EXPECT_EQ(OpenError(*tree, node, flags), EPERM) << name;
    }
    FileTree::Entry entry;
    FileTree::Handle handle = 0;
    EXPECT_EQ(
        tree->Create({kRootNode, name}, {.mode = 0644}, O_RDWR, entry, handle),
        EPERM);
    EXPECT_EQ(tree->OpenDirectory(node, handle), ENOTDIR);
    fuse::Attributes changed;
    EXPECT_EQ(tree->SetAttributes(node, {.size = 0}, changed), EINVAL);
  }
  if (device) {
    EXPECT_EQ(Entry(*tree, "null").attributes.device, 0x103u);
  }
}

TEST_F(HostDirectoryTest, KindsOfFilesThatAGuestMakes) {
  const struct {
    uint32_t type;
    int error;
  } kTable[] = {{0, 0},           {S_IFREG, 0},     {S_IFIFO, 0},
                {S_IFSOCK, 0},    {S_IFCHR, EPERM}, {S_IFBLK, EPERM},
                {S_IFDIR, EPERM}, {S_IFLNK, EPERM}, {S_IFMT, EPERM}};
  const auto tree = Share();
  for (const auto& row : kTable) {
    FileTree::Entry entry;
    EXPECT_EQ(
        tree->MakeNode({kRootNode, "f"}, {.mode = row.type | 0600}, entry),
        row.error)
        << row.type;
    EXPECT_EQ(share.Exists("f"), row.error == 0);
    if (row.error != 0) continue;
    EXPECT_EQ(entry.attributes.mode,
              (row.type == 0 ? uint32_t{S_IFREG} : row.type) | 0600);
    EXPECT_EQ(tree->Unlink({kRootNode, "f"}), 0);
  }
}

// ---- Read-only --------------------------------------------------------------

TEST_F(HostDirectoryTest, AReadOnlyShareRefusesAllThatChanges) {
  share.WriteFile("f", "text");
  share.MakeDirectory("d");
  share.MakeLink("l", "f");
  const auto tree = Share({.read_only = true});
  const FileTree::Node f = Find(*tree, "f");
  const FileTree::Handle reading = OpenFile(*tree, f);
  FileTree::Entry entry;
  FileTree::Handle handle = 0;
  fuse::Attributes attributes;
  const FileTree::Place place = {kRootNode, "new"};
  const struct {
    const char* what;
    int error;
    std::function<int()> run;
  } kTable[] = {
      {"write", EROFS, [&] { return OpenError(*tree, f, O_WRONLY); }},
      {"read and write", EROFS, [&] { return OpenError(*tree, f, O_RDWR); }},
      {"truncate", EROFS,
       [&] { return OpenError(*tree, f, O_RDONLY | O_TRUNC); }},
      {"no access", EINVAL, [&] { return OpenError(*tree, f, O_ACCMODE); }},
      {"create", EROFS,
       [&] {
         return tree->Create(place, {.mode = 0644}, O_RDWR, entry, handle);
       }},
      {"create for reading", EROFS,
       [&] {
         return tree->Create(place, {.mode = 0644}, O_RDONLY, entry, handle);
       }},
      {"create over", EROFS,
       [&] {
         return tree->Create({kRootNode, "f"}, {.mode = 0644}, O_RDONLY, entry,
                             handle);
       }},
      {"mkdir", EROFS,
       [&] { return tree->MakeDirectory(place, {.mode = 0755}, entry); }},
      {"mknod", EROFS,
       [&] { return tree->MakeNode(place, {.mode = 0644}, entry); }},
      {"symlink", EROFS, [&] { return tree->Symlink(place, "x", {}, entry); }},
      {"link", EROFS, [&] { return tree->Link(f, place, entry); }},
      {"unlink", EROFS,
       [&] {
         return tree->Unlink({kRootNode, "f"});
       }},
      {"rmdir", EROFS,
       [&] {
         return tree->RemoveDirectory({kRootNode, "d"});
       }},
      {"rename", EROFS,
       [&] {
         return tree->Rename({kRootNode, "f"}, place, 0);
       }},
      {"exchange", EROFS,
       [&] {
         return tree->Rename({kRootNode, "f"}, {kRootNode, "d"},
                             RENAME_EXCHANGE);
       }},
      {"chmod", EROFS,
       [&] { return tree->SetAttributes(f, {.mode = 0}, attributes); }},
      {"chown", EROFS,
       [&] { return tree->SetAttributes(f, {.uid = 5}, attributes); }},
      {"size", EROFS,
       [&] { return tree->SetAttributes(f, {.size = 0}, attributes); }},
      {"size by handle", EROFS,
       [&] {
         return tree->SetAttributes(f, {.size = 0, .handle = reading},
                                    attributes);
       }},
      {"times", EROFS,
       [&] {
         return tree->SetAttributes(
             f, {.access_time = FileTree::NewTime{.now = true}}, attributes);
       }},
      {"nothing at all", EROFS,
       [&] { return tree->SetAttributes(f, {}, attributes); }},
      {"write to a handle", EBADF,
       [&] { return WriteText(*tree, reading, 0, "x").error; }},
      {"allocate", EBADF, [&] { return tree->Allocate(reading, 0, 9999, 0); }},
      {"copy", EBADF,
       [&] {
         return tree->Copy({reading, 0}, {reading, 2}, 1).error;
       }},
      {"access", EROFS, [&] { return tree->Access(f, W_OK); }},
  };
  for (const auto& row : kTable) EXPECT_EQ(row.run(), row.error) << row.what;
  EXPECT_THAT(List(*tree, kRootNode),
              UnorderedElementsAre(".", "..", "f", "d", "l"));
  EXPECT_EQ(ReadText(*tree, reading), "text");
  EXPECT_EQ(tree->Access(f, R_OK), 0);
  EXPECT_EQ(tree->SyncFileSystem(), 0);
}

// ---- Modes ------------------------------------------------------------------

TEST_F(HostDirectoryTest, ModesAreTheGuestsWhateverTheHostsUmask) {
  for (const mode_t mask : {0, 022, 077, 0777}) {
    const Umask umask(mask);
    const auto tree = Share();
    FileTree::Entry entry;
    FileTree::Handle handle = 0;
    ASSERT_EQ(
        tree->Create({kRootNode, "f"}, {.mode = 0666}, O_RDWR, entry, handle),
        0);
    EXPECT_EQ(WriteText(*tree, handle, 0, "text").bytes, 4u);
    EXPECT_EQ(entry.attributes.mode, S_IFREG | 0666u);
    ASSERT_EQ(tree->MakeDirectory({kRootNode, "d"}, {.mode = 01775}, entry), 0);
    EXPECT_EQ(entry.attributes.mode, S_IFDIR | 01775u);
    ASSERT_EQ(tree->MakeNode({kRootNode, "n"}, {.mode = 0617}, entry), 0);
    EXPECT_EQ(entry.attributes.mode, S_IFREG | 0617u);
    EXPECT_EQ(ModeOnHost("f"), 0666u);
    EXPECT_EQ(ModeOnHost("d"), 01775u);
    EXPECT_EQ(ModeOnHost("n"), 0617u);
    share.Clear();
  }
}

TEST_F(HostDirectoryTest, SetIdBitsAreNotMade) {
  const auto tree = Share();
  FileTree::Entry entry;
  FileTree::Handle handle = 0;
  ASSERT_EQ(
      tree->Create({kRootNode, "f"}, {.mode = 06755}, O_RDWR, entry, handle),
      0);
  ASSERT_EQ(tree->MakeDirectory({kRootNode, "d"}, {.mode = 06755}, entry), 0);
  ASSERT_EQ(tree->MakeNode({kRootNode, "n"}, {.mode = 06755}, entry), 0);
  for (const char* const name : {"f", "d", "n"}) {
    EXPECT_EQ(ModeOnHost(name), 0755u) << name;
    fuse::Attributes attributes;
    EXPECT_EQ(
        tree->SetAttributes(Find(*tree, name), {.mode = 07711}, attributes), 0);
    EXPECT_EQ(attributes.mode & 07777, 01711u);
    EXPECT_EQ(ModeOnHost(name), 01711u) << name;
  }
}

// Of a directory the bit says which group new files belong to.
TEST_F(HostDirectoryTest, TheHostsSetGroupIdOfDirectoriesStays) {
  const auto tree = Share();
  FileTree::Entry entry;
  ASSERT_EQ(tree->MakeDirectory({kRootNode, "team"}, {.mode = 0755}, entry), 0);
  ASSERT_EQ(::chmod(share.Path("team").c_str(), 02775), 0);
  FileTree::Entry below;
  ASSERT_EQ(tree->MakeDirectory({entry.node, "below"}, {.mode = 0750}, below),
            0);
  EXPECT_EQ(below.attributes.mode & 07777, 02750u);
  EXPECT_EQ(ModeOnHost("team/below"), 02750u);
  fuse::Attributes attributes;
  EXPECT_EQ(tree->SetAttributes(below.node, {.mode = 0711}, attributes), 0);
  EXPECT_EQ(ModeOnHost("team/below"), 02711u);
  EXPECT_EQ(tree->SetAttributes(below.node, {.mode = 04711}, attributes), 0);
  EXPECT_EQ(ModeOnHost("team/below"), 02711u);
  // A file there has the group, not the bit.
  FileTree::Handle handle = 0;
  ASSERT_EQ(
      tree->Create({entry.node, "f"}, {.mode = 02755}, O_RDWR, below, handle),
      0);
  EXPECT_EQ(ModeOnHost("team/f"), 0755u);
}

TEST_F(HostDirectoryTest, SetIdBitsAreGoneBeforeAFileIsWritten) {
  const auto tree = Share();
  const struct {
    const char* what;
    std::function<int(FileTree::Node)> run;
  } kTable[] = {
      {"open for writing",
       [&](FileTree::Node node) { return OpenError(*tree, node, O_WRONLY); }},
      {"open for both",
       [&](FileTree::Node node) { return OpenError(*tree, node, O_RDWR); }},
      {"open and truncate",
       [&](FileTree::Node node) {
         return OpenError(*tree, node, O_RDONLY | O_TRUNC);
       }},
      {"size",
       [&](FileTree::Node node) {
         fuse::Attributes attributes;
         return tree->SetAttributes(node, {.size = 1}, attributes);
       }},
  };
  for (const auto& row : kTable) {
    share.WriteFile("f", "#!");
    ASSERT_EQ(::chmod(share.Path("f").c_str(), 06755), 0);
    const FileTree::Node node = Find(*tree, "f");
    OpenFile(*tree, node, O_RDONLY);
    EXPECT_EQ(ModeOnHost("f"), 06755u) << row.what;
    EXPECT_EQ(row.run(node), 0) << row.what;
    EXPECT_EQ(ModeOnHost("f"), 0755u) << row.what;
    share.Remove("f");
  }
}

TEST_F(HostDirectoryTest, AttributesAreSet) {
  share.WriteFile("f", "a long text");
  const auto tree = Share();
  const FileTree::Node f = Find(*tree, "f");
  fuse::Attributes attributes;
  ASSERT_EQ(
      tree->SetAttributes(
          f,
          {.mode = 0421,
           .size = 6,
           .access_time = FileTree::NewTime{.seconds = 11, .nanoseconds = 12},
           .modify_time = FileTree::NewTime{.seconds = -13, .nanoseconds = 14}},
          attributes),
      0);
  EXPECT_EQ(attributes.mode, S_IFREG | 0421u);
  EXPECT_EQ(attributes.size, 6u);
  EXPECT_EQ(attributes.access_time, 11u);
  EXPECT_EQ(attributes.access_nanoseconds, 12u);
  EXPECT_EQ(static_cast<int64_t>(attributes.modify_time), -13);
  EXPECT_EQ(attributes.modify_nanoseconds, 14u);
  EXPECT_EQ(share.ReadFile("f"), "a long");
  // One time alone; now.
  ASSERT_EQ(tree->SetAttributes(
                f, {.access_time = FileTree::NewTime{.now = true}}, attributes),
            0);
  EXPECT_GT(attributes.access_time, 1000000u);
  EXPECT_EQ(static_cast<int64_t>(attributes.modify_time), -13);
  // Longer, by a handle.
  const FileTree::Handle handle = OpenFile(*tree, f, O_RDWR);
  ASSERT_EQ(tree->SetAttributes(f, {.size = 8, .handle = handle}, attributes),
            0);
  EXPECT_EQ(share.ReadFile("f"), std::string("a long\0\0", 8));
  const struct {
    FileTree::Node node;
    FileTree::Changes changes;
    int error;
  } kTable[] = {
      {kRootNode, {.size = 0}, EISDIR},
      {f, {.size = kHuge}, EFBIG},
      {f, {.size = 1, .handle = 77}, EBADF},
      {f, {.size = 1, .handle = OpenFile(*tree, f)}, EBADF},
      {99, {.mode = 0}, ESTALE},
  };
  for (const auto& row : kTable) {
    EXPECT_EQ(tree->SetAttributes(row.node, row.changes, attributes),
              row.error);
  }
  EXPECT_EQ(share.ReadFile("f").size(), 8u);
}

// ---- Data -------------------------------------------------------------------

TEST_F(HostDirectoryTest, DataIsWhereItWasWritten) {
  const auto tree = Share();
  FileTree::Entry entry;
  FileTree::Handle handle = 0;
  ASSERT_EQ(
      tree->Create({kRootNode, "f"}, {.mode = 0644}, O_RDWR, entry, handle), 0);
  EXPECT_EQ(WriteText(*tree, handle, 5, "hello").bytes, 5u);
  EXPECT_EQ(WriteText(*tree, handle, 0, "abc").bytes, 3u);
  EXPECT_EQ(share.ReadFile("f"), std::string("abc\0\0hello", 10));
  EXPECT_EQ(ReadText(*tree, handle, 0, 7), std::string("abc\0\0he", 7));
  EXPECT_EQ(ReadText(*tree, handle, 6, 100), "ello");
  EXPECT_EQ(ReadText(*tree, handle, 10, 100), "");
  EXPECT_EQ(ReadText(*tree, handle, 1000, 100), "");
  EXPECT_EQ(ReadText(*tree, handle, 0, 0), "");
  tree->Release(handle);
  EXPECT_EQ(WriteText(*tree, handle, 0, "x").error, EBADF);
}

TEST_F(HostDirectoryTest, AWriteThatStopsHalfwayTellsHowFarItCame) {
  const auto tree = Share();
  FileTree::Entry entry;
  FileTree::Handle handle = 0;
  ASSERT_EQ(
      tree->Create({kRootNode, "f"}, {.mode = 0644}, O_RDWR, entry, handle), 0);
  // Files of this process end at 6 bytes for a moment.
  const auto before = ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small = {.rlim_cur = 6, .rlim_max = limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const FileTransfer first = WriteText(*tree, handle, 0, "0123456789");
  const FileTransfer second = WriteText(*tree, handle, 6, "6789");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  ::signal(SIGXFSZ, before);
  EXPECT_EQ(first.error, 0);
  EXPECT_EQ(first.bytes, 6u);
  EXPECT_EQ(second.error, EFBIG);
  EXPECT_EQ(share.ReadFile("f"), "012345");
}

TEST_F(HostDirectoryTest, AppendersWriteWhereTheySay) {
  share.WriteFile("f", "text");
  const auto tree = Share();
  const FileTree::Handle handle =
      OpenFile(*tree, Find(*tree, "f"), O_WRONLY | O_APPEND);
  EXPECT_EQ(WriteText(*tree, handle, 1, "as").bytes, 2u);
  EXPECT_EQ(share.ReadFile("f"), "tast");
}

TEST_F(HostDirectoryTest, OffsetsBeyondAFileSystemAreRefused) {
  share.WriteFile("f", "text");
  const auto tree = Share();
  const FileTree::Handle handle = OpenFile(*tree, Find(*tree, "f"), O_RDWR);
  for (const uint64_t offset : {kHuge, kHuge - 1, ~uint64_t{0}}) {
    std::array<char, 8> bytes;
    iovec part = {.iov_base = bytes.data(), .iov_len = bytes.size()};
    EXPECT_EQ(tree->Read(handle, offset, {&part, 1}).error, EINVAL);
    EXPECT_EQ(WriteText(*tree, handle, offset, "four").error, EINVAL);
    EXPECT_EQ(tree->Allocate(handle, offset, 2, 0), EINVAL);
    EXPECT_EQ(tree->Allocate(handle, 2, offset, 0), EINVAL);
  }
  EXPECT_EQ(tree->Allocate(handle, 0, 0, 0), EINVAL);
  for (const uint64_t offset : {kHuge, ~uint64_t{0}}) {
    EXPECT_NE(tree->Copy({handle, offset}, {handle, 0}, 1).error, 0);
    EXPECT_NE(tree->Copy({handle, 0}, {handle, offset}, 1).error, 0);
    uint64_t found = 0;
    EXPECT_EQ(tree->Seek(handle, offset, SEEK_DATA, found), ENXIO);
  }
  EXPECT_EQ(share.ReadFile("f"), "text");
}

TEST_F(HostDirectoryTest, HandlesThatAreNone) {
  const auto tree = Share();
  uint64_t found = 0;
  for (const uint64_t handle : {uint64_t{0}, uint64_t{1}, kHuge}) {
    fuse::Attributes attributes;
    EXPECT_EQ(tree->Read(handle, 0, {}).error, EBADF);
    EXPECT_EQ(tree->Write(handle, 0, {}).error, EBADF);
    EXPECT_EQ(tree->Sync(handle, false), EBADF);
    EXPECT_EQ(tree->SyncDirectory(handle, true), EBADF);
    EXPECT_EQ(tree->Allocate(handle, 0, 1, 0), EBADF);
    EXPECT_EQ(tree->Seek(handle, 0, SEEK_DATA, found), EBADF);
    EXPECT_EQ(tree->Copy({handle, 0}, {handle, 0}, 1).error, EBADF);
    EXPECT_EQ(tree->GetAttributes(kRootNode, handle, attributes), EBADF);
    EXPECT_EQ(tree->ReadDirectory(handle, 0, [](const auto&) { return true; }),
              EBADF);
    tree->Release(handle);
  }
}

TEST_F(HostDirectoryTest, FilesAreNoDirectoriesNorTheOtherWayRound) {
  share.WriteFile("f", "text");
  const auto tree = Share();
  const FileTree::Node f = Find(*tree, "f");
  FileTree::Handle handle = 0;
  EXPECT_EQ(tree->OpenDirectory(f, handle), ENOTDIR);
  EXPECT_EQ(LookupError(*tree, "x", f), ENOTDIR);
  EXPECT_EQ(OpenError(*tree, kRootNode, O_RDONLY), EISDIR);
  const FileTree::Handle file = OpenFile(*tree, f);
  EXPECT_EQ(tree->ReadDirectory(file, 0, [](const auto&) { return true; }),
            ENOTDIR);
  ASSERT_EQ(tree->OpenDirectory(kRootNode, handle), 0);
  EXPECT_EQ(tree->Read(handle, 0, {}).error, EISDIR);
  EXPECT_EQ(tree->Write(handle, 0, {}).error, EBADF);
  FileTree::Entry entry;
  EXPECT_EQ(tree->Link(kRootNode, {kRootNode, "g"}, entry), EPERM);
}

TEST_F(HostDirectoryTest, HolesAreFoundAndMade) {
  share.WriteFile("f", std::string(65536, 'x'));
  const auto tree = Share();
  const FileTree::Handle handle = OpenFile(*tree, Find(*tree, "f"), O_RDWR);
  uint64_t found = 0;
  ASSERT_EQ(tree->Seek(handle, 0, SEEK_HOLE, found), 0);
  EXPECT_EQ(found, 65536u);
  const int punched = tree->Allocate(
      handle, 0, 32768, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
  if (punched == EOPNOTSUPP) GTEST_SKIP() << "a file system without holes";
  ASSERT_EQ(punched, 0);
  ASSERT_EQ(tree->Seek(handle, 0, SEEK_DATA, found), 0);
  EXPECT_EQ(found, 32768u);
  EXPECT_EQ(tree->Seek(handle, 65536, SEEK_DATA, found), ENXIO);
  EXPECT_EQ(tree->Seek(handle, 0, SEEK_SET, found), EINVAL);
  EXPECT_EQ(tree->Allocate(handle, 0, 131072, 0), 0);
  EXPECT_EQ(share.ReadFile("f").size(), 131072u);
  EXPECT_EQ(tree->Allocate(handle, 0, 4096, FALLOC_FL_COLLAPSE_RANGE),
            EOPNOTSUPP);
}

TEST_F(HostDirectoryTest, RangesAreCopied) {
  share.WriteFile("f", "0123456789");
  share.WriteFile("g", "abcdef");
  const auto tree = Share();
  const FileTree::Handle f = OpenFile(*tree, Find(*tree, "f"));
  const FileTree::Handle g = OpenFile(*tree, Find(*tree, "g"), O_RDWR);
  const FileTransfer copied = tree->Copy({f, 4}, {g, 1}, 3);
  EXPECT_EQ(copied.error, 0);
  EXPECT_EQ(copied.bytes, 3u);
  EXPECT_EQ(share.ReadFile("g"), "a456ef");
  EXPECT_EQ(tree->Copy({g, 0}, {f, 0}, 1).error, EBADF);
}

TEST_F(HostDirectoryTest, SyncingIsDone) {
  share.WriteFile("f", "text");
  const auto tree = Share();
  const FileTree::Handle f = OpenFile(*tree, Find(*tree, "f"), O_RDWR | O_SYNC);
  EXPECT_EQ(WriteText(*tree, f, 0, "sync").bytes, 4u);
  EXPECT_EQ(tree->Sync(f, false), 0);
  EXPECT_EQ(tree->Sync(f, true), 0);
  FileTree::Handle d = 0;
  ASSERT_EQ(tree->OpenDirectory(kRootNode, d), 0);
  EXPECT_EQ(tree->SyncDirectory(d, false), 0);
  EXPECT_EQ(tree->SyncFileSystem(), 0);
}

// ---- Directories ------------------------------------------------------------

TEST_F(HostDirectoryTest, DirectoriesAreReadFromWhereOneStopped) {
  std::set<std::string> expected = {".", ".."};
  for (int i = 0; i < 500; ++i) {
    const std::string name = "file_with_a_long_name_" + std::to_string(i);
    share.WriteFile(name, "");
    expected.insert(name);
  }
  const auto tree = Share();
  FileTree::Handle handle = 0;
  ASSERT_EQ(tree->OpenDirectory(kRootNode, handle), 0);
  std::set<std::string> names;
  std::map<std::string, uint64_t> inodes;
  uint64_t offset = 0;
  bool end = false;
  while (!end) {
    end = true;
    int taken = 0;
    ASSERT_EQ(tree->ReadDirectory(handle, offset,
                                  [&](const auto& entry) {
                                    if (taken == 7) return false;
                                    ++taken;
                                    end = false;
                                    const std::string name(entry.name);
                                    EXPECT_TRUE(names.insert(name).second);
                                    inodes[name] = entry.inode;
                                    offset = entry.next_offset;
                                    return true;
                                  }),
              0);
  }
  EXPECT_EQ(names, expected);
  // Nothing is told of the directory above.
  EXPECT_EQ(inodes[".."], inodes["."]);
  struct stat stat;
  ASSERT_EQ(::stat(share.Path("file_with_a_long_name_7").c_str(), &stat), 0);
  EXPECT_EQ(inodes["file_with_a_long_name_7"], stat.st_ino);
}

TEST_F(HostDirectoryTest, AnyOffsetIntoADirectoryEnds) {
  for (int i = 0; i < 20; ++i) share.WriteFile(std::to_string(i), "");
  const auto tree = Share();
  FileTree::Handle handle = 0;
  ASSERT_EQ(tree->OpenDirectory(kRootNode, handle), 0);
  for (const uint64_t offset : {uint64_t{1}, uint64_t{3}, uint64_t{0x7fffffff},
                                kHuge - 1, kHuge, ~uint64_t{0}}) {
    int count = 0;
    const int error = tree->ReadDirectory(handle, offset, [&](const auto&) {
      ++count;
      return true;
    });
    EXPECT_LE(count, 22);
    if (offset >= kHuge) {
      EXPECT_EQ(error, EINVAL);
    }
  }
}

TEST_F(HostDirectoryTest, NamesAreMadeMovedAndRemoved) {
  const auto tree = Share();
  FileTree::Entry entry;
  FileTree::Handle handle = 0;
  ASSERT_EQ(tree->MakeDirectory({kRootNode, "d"}, {.mode = 0755}, entry), 0);
  const FileTree::Node d = entry.node;
  ASSERT_EQ(
      tree->Create({d, "f"}, {.mode = 0644}, O_RDWR | O_EXCL, entry, handle),
      0);
  const FileTree::Node f = entry.node;
  EXPECT_EQ(
      tree->Create({d, "f"}, {.mode = 0644}, O_RDWR | O_EXCL, entry, handle),
      EEXIST);
  EXPECT_EQ(WriteText(*tree, handle, 0, "text").bytes, 4u);
  // Without O_EXCL what is there is opened, and cut off if asked.
  ASSERT_EQ(tree->Create({d, "f"}, {.mode = 0600}, O_RDWR, entry, handle), 0);
  EXPECT_EQ(entry.node, f);
  EXPECT_EQ(ReadText(*tree, handle), "text");
  ASSERT_EQ(
      tree->Create({d, "f"}, {.mode = 0600}, O_RDWR | O_TRUNC, entry, handle),
      0);
  EXPECT_EQ(ReadText(*tree, handle), "");
  EXPECT_EQ(entry.attributes.mode & 07777, 0644u);
  ASSERT_EQ(tree->Link(f, {kRootNode, "g"}, entry), 0);
  EXPECT_EQ(entry.node, f);
  EXPECT_EQ(entry.attributes.links, 2u);
  EXPECT_EQ(tree->RemoveDirectory({kRootNode, "d"}), ENOTEMPTY);
  EXPECT_EQ(tree->Unlink({kRootNode, "d"}), EISDIR);
  EXPECT_EQ(tree->RemoveDirectory({kRootNode, "g"}), ENOTDIR);
  EXPECT_EQ(tree->Rename({kRootNode, "g"}, {d, "f"}, RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(tree->Rename({kRootNode, "g"}, {d, "h"}, RENAME_NOREPLACE), 0);
  EXPECT_EQ(tree->Rename({kRootNode, "g"}, {d, "h"}, 0), ENOENT);
  EXPECT_EQ(tree->Rename({d, "h"}, {d, "i"}, RENAME_WHITEOUT), EINVAL);
  EXPECT_EQ(tree->Rename({d, "h"}, {d, "i"}, 0x80000000), EINVAL);
  EXPECT_EQ(tree->Rename({kRootNode, "d"}, {d, "d"}, 0), EINVAL);
  EXPECT_EQ(tree->Unlink({d, "f"}), 0);
  EXPECT_EQ(tree->Unlink({d, "f"}), ENOENT);
  EXPECT_EQ(tree->Unlink({d, "h"}), 0);
  EXPECT_EQ(tree->RemoveDirectory({kRootNode, "d"}), 0);
  EXPECT_THAT(List(*tree, kRootNode), UnorderedElementsAre(".", ".."));
}

TEST_F(HostDirectoryTest, TheFileSystemTellsItsSize) {
  const auto tree = Share();
  fuse::FileSystemOut out;
  ASSERT_EQ(tree->StatFileSystem(kRootNode, out), 0);
  EXPECT_GT(out.blocks, 0u);
  EXPECT_GE(out.blocks, out.free_blocks);
  EXPECT_GT(out.block_size, 0u);
  EXPECT_EQ(out.max_name, 255u);
  EXPECT_EQ(tree->StatFileSystem(99, out), ESTALE);
}

// ---- Limits -----------------------------------------------------------------

TEST_F(HostDirectoryTest, NodesBeyondTheLimitAreRefused) {
  for (const char* const name : {"a", "b", "c"}) share.WriteFile(name, "");
  const auto tree = Share({.max_nodes = 3});
  const FileTree::Node a = Find(*tree, "a");
  Find(*tree, "b");
  EXPECT_EQ(LookupError(*tree, "c"), ENFILE);
  EXPECT_EQ(Find(*tree, "a"), a);
  FileTree::Entry entry;
  FileTree::Handle handle = 0;
  EXPECT_EQ(
      tree->Create({kRootNode, "d"}, {.mode = 0644}, O_RDWR, entry, handle),
      ENFILE);
  EXPECT_EQ(tree->usage().handles, 0u);
  tree->Forget(a, 2);
  EXPECT_EQ(LookupError(*tree, "c"), 0);
}

TEST_F(HostDirectoryTest, HandlesBeyondTheLimitAreRefused) {
  share.WriteFile("f", "text");
  const auto tree = Share({.max_handles = 2});
  const FileTree::Node f = Find(*tree, "f");
  const FileTree::Handle first = OpenFile(*tree, f);
  FileTree::Handle directory = 0;
  ASSERT_EQ(tree->OpenDirectory(kRootNode, directory), 0);
  EXPECT_EQ(OpenError(*tree, f, O_RDONLY), ENFILE);
  FileTree::Handle handle = 0;
  EXPECT_EQ(tree->OpenDirectory(kRootNode, handle), ENFILE);
  FileTree::Entry entry;
  EXPECT_EQ(
      tree->Create({kRootNode, "g"}, {.mode = 0644}, O_RDWR, entry, handle),
      ENFILE);
  EXPECT_EQ(tree->usage().nodes, 2u);
  tree->ReleaseDirectory(directory);
  const FileTree::Handle second = OpenFile(*tree, f);
  EXPECT_NE(second, directory);
  EXPECT_EQ(ReadText(*tree, first), "text");
  EXPECT_EQ(tree->usage().handles, 2u);
}

// ---- Threads ----------------------------------------------------------------

TEST_F(HostDirectoryTest, QueuesWorkAtTheSameTime) {
  for (int i = 0; i < 8; ++i) {
    share.MakeDirectory("d" + std::to_string(i));
    share.WriteFile("d" + std::to_string(i) + "/f", std::to_string(i));
  }
  const auto tree = Share({.max_open_nodes = 72, .max_handles = 8});
  Evict(*tree);
  std::vector<std::thread> queues;
  for (unsigned seed = 0; seed < 3; ++seed) {
    queues.emplace_back([&, seed] {
      std::mt19937 random(seed);
      for (int i = 0; i < Repetitions(3000); ++i) {
        const int number = static_cast<int>(random() % 8);
        FileTree::Entry d;
        FileTree::Entry f;
        FileTree::Handle handle = 0;
        if (tree->Lookup({kRootNode, "d" + std::to_string(number)}, d) != 0) {
          continue;
        }
        if (tree->Lookup({d.node, "f"}, f) == 0) {
          if (tree->Open(f.node, O_RDONLY, handle) == 0) {
            std::array<char, 8> text;
            iovec part = {.iov_base = text.data(), .iov_len = text.size()};
            const FileTransfer read = tree->Read(handle, 0, {&part, 1});
            if (read.error == 0) {
              EXPECT_EQ(absl::string_view(text.data(), read.bytes),
                        std::to_string(number));
            }
            tree->Release(handle);
          }
          tree->Forget(f.node, 1);
        }
        tree->Forget(d.node, 1);
        if (random() % 500 == 0) tree->Clear();
      }
    });
  }
  for (std::thread& queue : queues) queue.join();
  tree->Clear();
  EXPECT_EQ(tree->usage().nodes, 1u);
  EXPECT_EQ(tree->usage().open_nodes, 1u);
  EXPECT_EQ(tree->usage().handles, 0u);
}

}  // namespace
}  // namespace libvmm
