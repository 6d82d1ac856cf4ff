// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/handle_table.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"

namespace libvmm::internal {
namespace {

OpenFile NullFile() {
  OpenFile file;
  file.fd = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC, 0));
  return file;
}

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

uint64_t Added(HandleTable& table) {
  uint64_t handle = 0;
  EXPECT_EQ(table.Add(NullFile(), handle), 0);
  return handle;
}

TEST(HandleTableTest, AFileInUseIsClosedWhenTheLastCallIsDone) {
  HandleTable table(2);
  const uint64_t handle = Added(table);
  std::optional<PinnedFile> first(std::in_place);
  std::optional<PinnedFile> second(std::in_place);
  ASSERT_EQ(table.Pin(handle, *first), 0);
  ASSERT_EQ(table.Pin(handle, *second), 0);
  const int fd = first->fd();
  table.Release(handle);
  EXPECT_TRUE(IsOpen(fd));
  // Nobody finds it any more, and its place is not free.
  PinnedFile late;
  EXPECT_EQ(table.Pin(handle, late), EBADF);
  EXPECT_EQ(table.handles(), 1u);
  Added(table);
  uint64_t third = 0;
  EXPECT_EQ(table.Add(NullFile(), third), ENFILE);
  first.reset();
  EXPECT_TRUE(IsOpen(fd));
  second.reset();
  EXPECT_FALSE(IsOpen(fd));
  EXPECT_NE(Added(table), handle);
}

TEST(HandleTableTest, ClearingClosesWhatIsNotInUse) {
  HandleTable table(8);
  std::vector<int> fds;
  uint64_t handle = 0;
  for (int i = 0; i < 3; ++i) {
    handle = Added(table);
    PinnedFile file;
    ASSERT_EQ(table.Pin(handle, file), 0);
    fds.push_back(file.fd());
  }
  {
    PinnedFile file;
    ASSERT_EQ(table.Pin(handle, file), 0);
    table.Clear();
    EXPECT_FALSE(IsOpen(fds[0]));
    EXPECT_FALSE(IsOpen(fds[1]));
    EXPECT_TRUE(IsOpen(fds[2]));
    EXPECT_EQ(table.handles(), 1u);
    // Again, while it is still in use.
    table.Clear();
    EXPECT_TRUE(IsOpen(fds[2]));
  }
  EXPECT_FALSE(IsOpen(fds[2]));
  EXPECT_EQ(table.handles(), 0u);
}

TEST(HandleTableTest, ANumberIsNotGivenTwice) {
  HandleTable table(1);
  uint64_t before = 0;
  for (int i = 0; i < 100; ++i) {
    const uint64_t handle = Added(table);
    EXPECT_NE(handle, 0u);
    EXPECT_NE(handle, before);
    PinnedFile file;
    EXPECT_EQ(table.Pin(before, file), EBADF);
    table.Release(before);
    EXPECT_EQ(table.handles(), 1u);
    table.Release(handle);
    before = handle;
  }
}

}  // namespace
}  // namespace libvmm::internal
