// SPDX-License-Identifier: Apache-2.0
// What HostDirectory does not show of its table: nodes in use.
#include "libvmm/devices/virtio/fs/node_table.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/fs/file_identity.h"
#include "libvmm/devices/virtio/fs/fuse_protocol.h"
#include "libvmm/devices/virtio/fs/share_test_directory.h"

namespace libvmm::internal {
namespace {

using ::libvmm::testing::ShareTestDirectory;

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

// A table over a share, with so many descriptors.
class Nodes {
 public:
  explicit Nodes(uint32_t max_open)
      : table(Opened(""), IdentityOf(StatOf("")),
              {.max_nodes = 100, .max_open = max_open}) {}

  uint64_t Enter(const std::string& name) {
    share.WriteFile(name, name);
    PinnedNode root;
    EXPECT_EQ(table.Pin(fuse::kRootNode, root), 0);
    uint64_t number = 0;
    EXPECT_EQ(table.Enter({.fd = Opened(name),
                           .identity = IdentityOf(StatOf(name)),
                           .type = S_IFREG},
                          root, name, number),
              0);
    return number;
  }

  UniqueFd Opened(const std::string& name) {
    return UniqueFd(
        ::open(share.Path(name).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0));
  }
  struct statx StatOf(const std::string& name) {
    struct statx stat = {};
    EXPECT_EQ(StatFile(Opened(name).get(), stat), 0);
    return stat;
  }

  ShareTestDirectory share;
  NodeTable table;
};

TEST(NodeTableTest, ANodeInUseStaysWhatever) {
  Nodes nodes(2);
  const uint64_t a = nodes.Enter("a");
  {
    PinnedNode pinned;
    ASSERT_EQ(nodes.table.Pin(a, pinned), 0);
    EXPECT_EQ(pinned.type(), uint32_t{S_IFREG});
    const int fd = pinned.fd();
    // Neither is it closed for want of room,
    const uint64_t b = nodes.Enter("b");
    EXPECT_EQ(nodes.table.open(), 2u);
    PinnedNode other;
    EXPECT_EQ(nodes.table.Pin(b, other), ENFILE);
    EXPECT_TRUE(IsOpen(fd));
    // nor forgotten, nor cleared.
    nodes.table.Forget(a, 1);
    nodes.table.Clear();
    EXPECT_TRUE(IsOpen(fd));
    EXPECT_EQ(nodes.table.nodes(), 2u);
    // A node may be given back as another is taken.
    ASSERT_EQ(nodes.table.Pin(fuse::kRootNode, pinned), 0);
    EXPECT_FALSE(IsOpen(fd));
  }
  EXPECT_EQ(nodes.table.nodes(), 1u);
  EXPECT_EQ(nodes.table.open(), 1u);
}

TEST(NodeTableTest, TheOneNotUsedForLongestIsClosed) {
  Nodes nodes(4);
  std::vector<uint64_t> numbers;
  for (const char* const name : {"a", "b", "c"}) {
    numbers.push_back(nodes.Enter(name));
  }
  const auto fd_of = [&nodes](uint64_t number) {
    PinnedNode pinned;
    EXPECT_EQ(nodes.table.Pin(number, pinned), 0);
    return pinned.fd();
  };
  const int b = fd_of(numbers[1]);
  const int c = fd_of(numbers[2]);
  const int a = fd_of(numbers[0]);
  nodes.Enter("d");
  EXPECT_FALSE(IsOpen(b));
  EXPECT_TRUE(IsOpen(a));
  EXPECT_TRUE(IsOpen(c));
  EXPECT_EQ(nodes.table.open(), 4u);
  // When it is opened again, another has to go.
  EXPECT_TRUE(IsOpen(fd_of(numbers[1])));
  EXPECT_EQ(nodes.table.open(), 4u);
}

TEST(NodeTableTest, RemovedPlacesAreUsedAgain) {
  Nodes nodes(10);
  for (int i = 0; i < 100; ++i) {
    const uint64_t number = nodes.Enter("a");
    EXPECT_EQ(nodes.table.nodes(), 2u);
    nodes.table.Forget(number, 1);
    EXPECT_EQ(nodes.table.nodes(), 1u);
  }
}

}  // namespace
}  // namespace libvmm::internal
