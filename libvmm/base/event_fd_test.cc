// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/event_fd.h"

#include <poll.h>
#include <unistd.h>

#include <limits>

#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

bool Readable(const EventFd& event) {
  pollfd poll_fd = {.fd = event.fd(), .events = POLLIN, .revents = 0};
  return ::poll(&poll_fd, 1, 0) == 1;
}

TEST(EventFdTest, CountsSignalsUntilDrained) {
  ASSERT_OK_AND_ASSIGN(const EventFd event, EventFd::Create());
  EXPECT_FALSE(Readable(event));
  EXPECT_EQ(event.Drain(), 0u);
  event.Signal();
  event.Signal();
  EXPECT_TRUE(Readable(event));
  EXPECT_EQ(event.Drain(), 2u);
  EXPECT_FALSE(Readable(event));
}

TEST(EventFdTest, AFullCounterNeitherBlocksNorLosesTheWakeUp) {
  ASSERT_OK_AND_ASSIGN(const EventFd event, EventFd::Create());
  const uint64_t full = std::numeric_limits<uint64_t>::max() - 1;
  ASSERT_EQ(::write(event.fd(), &full, sizeof(full)),
            static_cast<ssize_t>(sizeof(full)));
  event.Signal();
  EXPECT_TRUE(Readable(event));
  EXPECT_EQ(event.Drain(), full);
}

TEST(EventFdTest, AdoptSharesTheCounter) {
  ASSERT_OK_AND_ASSIGN(const EventFd event, EventFd::Create());
  const EventFd other = EventFd::Adopt(UniqueFd(::dup(event.fd())));
  other.Signal();
  EXPECT_EQ(event.Drain(), 1u);
}

}  // namespace
}  // namespace libvmm
