// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/edge_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

bool Ready(const EdgeWatch& watch) {
  pollfd poll{.fd = watch.fd(), .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 0) == 1;
}

class EdgeWatchTest : public ::testing::Test {
 protected:
  EdgeWatchTest() {
    std::array<int, 2> fds;
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()),
              0);
    own_ = UniqueFd(fds[0]);
    peer_ = UniqueFd(fds[1]);
  }
  void Say() { EXPECT_EQ(::write(peer_.get(), "x", 1), 1); }

  UniqueFd own_;
  UniqueFd peer_;
};

TEST_F(EdgeWatchTest, TellsOfWhatComesOnceThoughItStaysReadable) {
  EdgeWatch watch = *EdgeWatch::Create(own_.get());
  EXPECT_FALSE(Ready(watch));
  Say();
  EXPECT_TRUE(Ready(watch));
  EXPECT_EQ(watch.Take(), POLLIN);
  EXPECT_FALSE(Ready(watch));
  EXPECT_EQ(watch.Take(), 0);
  Say();
  EXPECT_TRUE(Ready(watch));
  EXPECT_EQ(watch.Take(), POLLIN);
}

TEST_F(EdgeWatchTest, WhatWasReadMeanwhileIsNotToldOf) {
  EdgeWatch watch = *EdgeWatch::Create(own_.get());
  Say();
  char byte;
  ASSERT_EQ(::read(own_.get(), &byte, 1), 1);
  EXPECT_EQ(watch.Take(), 0);
  EXPECT_FALSE(Ready(watch));
}

TEST_F(EdgeWatchTest, RoomToWriteIsToldOfOnlyWhenWanted) {
  EdgeWatch watch = *EdgeWatch::Create(own_.get());
  EXPECT_FALSE(Ready(watch));
  // There is room already.
  watch.WantWrite(true);
  EXPECT_TRUE(Ready(watch));
  EXPECT_EQ(watch.Take(), POLLOUT);
  EXPECT_FALSE(Ready(watch));
  // A full socket tells when it was emptied.
  const std::vector<char> much(1 << 16);
  while (::write(own_.get(), much.data(), much.size()) > 0) continue;
  (void)watch.Take();
  std::vector<char> read(1 << 16);
  while (::read(peer_.get(), read.data(), read.size()) > 0) continue;
  EXPECT_EQ(watch.Take(), POLLOUT);
  watch.WantWrite(false);
  EXPECT_FALSE(Ready(watch));
}

TEST_F(EdgeWatchTest, APeerThatGoesIsToldOfOnce) {
  EdgeWatch watch = *EdgeWatch::Create(own_.get());
  peer_.Reset();
  EXPECT_EQ(watch.Take() & POLLHUP, POLLHUP);
  EXPECT_FALSE(Ready(watch));
}

TEST(EdgeWatchErrorsTest, AFileCannotBeWatched) {
  const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_THAT(EdgeWatch::Create(file.get()).status(),
              testing::StatusIs(absl::StatusCode::kPermissionDenied,
                                ::testing::HasSubstr("epoll_ctl")));
}

}  // namespace
}  // namespace libvmm
